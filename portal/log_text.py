"""Escaping of texts in log lines, so that untrusted texts can neither forge a line nor control a terminal.

Logs contain paths, user agents, names, and messages of clouds and exceptions. Control characters, line breaks,
bidirectional controls and lone surrogates (which no stream can write) are replaced by escapes, and lengths are limited.
The logging configuration does this for all lines (`log_format.py`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from itertools import islice
from typing import Any, TextIO

MAX_TEXT = 4_000
MAX_ITEMS = 100
MAX_DEPTH = 10
MAX_LINE = 64_000
MAX_TRACE = 16_000
# C0 and C1 controls, line and paragraph separators, bidirectional and zero-width characters, surrogates.
_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
_UNPRINTABLE_IN_TEXT = re.compile(f"[{_UNPRINTABLE}]")
_UNPRINTABLE_IN_LINES = re.compile(f"(?!\n)[{_UNPRINTABLE}]")


def escape_text(text: str, max_length: int = MAX_TEXT) -> str:
    """Return a text as one line of at most `max_length` characters, with escapes for unprintable characters."""
    cut = text if len(text) <= max_length else f"{text[:max_length]}… ({len(text)} characters)"
    return _UNPRINTABLE_IN_TEXT.sub(_escape, cut)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def escape_values(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape every text of an event. It is a structlog processor that runs before the renderer."""
    # The console renderer writes tracebacks itself, with `write_traceback`.
    return {escape_text(str(name), 100): _escape_field(name, value) for name, value in event.items()}


def _escape_field(name: str, value: Any) -> Any:
    if name == "exc_info":
        return value
    if name == "error.stack_trace" and isinstance(value, str):
        # Its line breaks stay, because the JSON renderer escapes them.
        half = MAX_TRACE // 2
        cut = value if len(value) <= MAX_TRACE else f"{value[:half]}\n…\n{value[-half:]}"
        return _UNPRINTABLE_IN_LINES.sub(_escape, cut)
    return _escape_value(value, 0)


def _escape_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return escape_text(value)
    if value is None or isinstance(value, bool | int | float):
        # Python refuses to format integers with thousands of digits.
        return value if not isinstance(value, int) or value.bit_length() < 1000 else "a very large number"
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        return {
            escape_text(str(name), 100): _escape_value(item, depth + 1)
            for name, item in islice(value.items(), MAX_ITEMS)
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < MAX_DEPTH:
        return [_escape_value(item, depth + 1) for item in islice(value, MAX_ITEMS)]
    try:
        return escape_text(repr(value))
    except Exception:  # noqa: BLE001 - `repr` may raise anything, and the line must still be written.
        return f"<{type(value).__name__} that cannot be shown>"


def write_traceback(stream: TextIO, exc_info: Any) -> None:
    """Write an indented traceback, so that no line of an exception's message looks like a line of the log.

    It has no local variables, because they may contain secrets.
    """
    text = "".join(traceback.format_exception(*exc_info))
    if len(text) > MAX_LINE:
        text = text[: MAX_LINE // 2] + "\n…\n" + text[-MAX_LINE // 2 :]
    stream.writelines(f"\n    {escape_text(line)}" for line in text.split("\n"))


def escape_line(_logger: Any, _method: str, line: str) -> str:
    """Escape the texts that the renderer added. It is a structlog processor that runs after the renderer."""
    return _UNPRINTABLE_IN_LINES.sub(_escape, line)
