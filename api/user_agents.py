"""Name the browser and the operating system of a User-Agent header, in the words that people use.

The header is a hint for its own reader and decides nothing: anybody may send any text. Browsers name their ancestors, so the
order matters: Edge calls itself Chrome and Safari, and Chrome calls itself Safari.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_LENGTH = 300
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("HeadlessChrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python-requests/", "Python"),
    ("Python", "Python"),
    ("Go-http-client/", "Go"),
)
_SYSTEMS = (
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
    ("X11", "Linux"),
)


class Program(NamedTuple):
    """A browser or program, and the system it runs on; each is empty when the header does not tell."""

    browser: str
    system: str


def read_user_agent(header: str) -> Program:
    """Return the names in a User-Agent header. They are from the lists above, and never a text of the sender."""
    text = header[:MAX_LENGTH]
    return Program(_find(text, _BROWSERS), _find(text, _SYSTEMS))


def _find(text: str, names: tuple[tuple[str, str], ...]) -> str:
    return next((name for mark, name in names if mark in text), "")
