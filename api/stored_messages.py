"""Show messages that a worker has stored in the language of their reader.

A worker writes the message of a task in the language of the user who started it. The message is recognized here as one of the
portal's own messages in any of its languages, with the values that were filled in, and written anew in the active language.
What a cloud, a host or a person has said is no message of the portal and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from gettext import GNUTranslations
from pathlib import Path

from django.conf import settings
from django.utils import translation

# The activity of a VM stores the code of an outcome before its message: "cancelled: Canceled."
_WITH_CODE = re.compile(r"([a-z_]{1,50}: )(.+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
# A template with less text of its own would be found in what others say: "%(name)s: %(message)s", "Cancel %(task)s". A
# Chinese character says as much as three letters.
MIN_OWN_LENGTH = 12
FIRST_CHINESE = "\u2e80"
MAX_LENGTH = 2000
MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Template:
    """A message in one language: its beginning up to the first value, and its text in every language."""

    prefix: str
    text: str
    texts: tuple[tuple[str, str], ...]

    @property
    def own_length(self) -> int:
        """Return the length of the text without its values, in letters."""
        own = _PLACEHOLDER.sub("", self.text)
        return sum(3 if character >= FIRST_CHINESE else 1 for character in own)


def translate_stored(text: str) -> str:
    """Return a stored message of the portal in the active language, and any other text unchanged."""
    return _translate(text, translation.get_language() or settings.LANGUAGE_CODE)


@lru_cache(maxsize=4096)
def _translate(text: str, language: str, depth: int = 0) -> str:
    if not text or len(text) > MAX_LENGTH:
        return text
    if (same := _list_whole_messages().get(text)) is not None:
        return dict(same).get(language, text)
    found: tuple[Template, dict[str, str]] | None = None
    for template in _list_templates():
        if not text.startswith(template.prefix) or (found and found[0].own_length >= template.own_length):
            continue
        if match := _compile(template.text).fullmatch(text):
            found = template, match.groupdict()
    if found is None:
        coded = _WITH_CODE.fullmatch(text) if depth == 0 else None
        return coded[1] + _translate(coded[2], language, depth + 1) if coded else text
    template, values = found
    if depth < MAX_DEPTH:
        values = {name: _translate(value, language, depth + 1) for name, value in values.items()}
    target = dict(template.texts).get(language, template.text)
    # The values are put in without `%`, because a value may have a percent sign.
    return _PLACEHOLDER.sub(lambda place: values.get(place[1], place[0]), target).replace("%%", "%")


@cache
def _list_whole_messages() -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the messages without values, by their text in each language."""
    whole: dict[str, tuple[tuple[str, str], ...]] = {}
    for texts in _read_catalogs():
        if not any(_PLACEHOLDER.search(text) for _language, text in texts):
            for _language, text in texts:
                whole.setdefault(text, texts)
    return whole


@cache
def _list_templates() -> list[Template]:
    """Return the messages with values, once for each language."""
    templates = [
        Template(text.partition("%(")[0].replace("%%", "%"), text, texts)
        for texts in _read_catalogs()
        for _language, text in texts
        if _PLACEHOLDER.search(text)
    ]
    return [template for template in templates if template.own_length >= MIN_OWN_LENGTH]


@lru_cache(maxsize=1024)
def _compile(text: str) -> re.Pattern[str]:
    """Return the expression that a message matches, with a group for each value."""
    pattern, end, names = "", 0, set()
    for place in _PLACEHOLDER.finditer(text):
        pattern += re.escape(text[end : place.start()].replace("%%", "%"))
        pattern += f"(?P={place[1]})" if place[1] in names else f"(?P<{place[1]}>.*?)"
        names.add(place[1])
        end = place.end()
    return re.compile(pattern + re.escape(text[end:].replace("%%", "%")), re.DOTALL)


def _read_catalogs() -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield each message of the portal in every language. The source language is that of the message ids."""
    source = "en"
    others = [code for code, _name in settings.LANGUAGES if code != source]
    catalogs = {code: _read_catalog(code) for code in others}
    for message_id in dict.fromkeys(key for catalog in catalogs.values() for key in catalog):
        text = message_id.rpartition("\x04")[2]
        translated = [(code, catalogs[code][message_id]) for code in others if message_id in catalogs[code]]
        yield ((source, text), *translated)


def _read_catalog(language: str) -> dict[str, str]:
    """Return the translations of the portal itself; without those of Django, and without plurals."""
    found: dict[str, str] = {}
    for folder in settings.LOCALE_PATHS:
        path = Path(folder) / translation.to_locale(language) / "LC_MESSAGES" / "django.mo"
        if path.exists():
            with path.open("rb") as file:
                catalog = GNUTranslations(file)._catalog  # type: ignore[attr-defined] # noqa: SLF001 - it has no public reader.
            found |= {key: text for key, text in catalog.items() if isinstance(key, str) and key and text}
    return found
