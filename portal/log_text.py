"""Texts in log lines: what comes from outside can neither forge a line nor steer the terminal that shows it.

Paths, user agents, names, messages of clouds and of exceptions all end up in logs. Here control characters, line breaks,
marks that turn the direction of text, and halves of surrogate pairs (which no stream can write) are written as escapes, and
lengths have a limit. It is done once for all lines, beside their rendering (`log_format.py`).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from itertools import islice
from typing import Any, TextIO

MAX_TEXT = 4_000
MOST_ITEMS = 100
DEEPEST = 10
LONGEST_LINE = 64_000
# C0 and C1 controls, line and paragraph separators, marks of direction and without width, surrogates.
_UNFIT = "\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff"
_UNFIT_TEXT = re.compile(f"[{_UNFIT}]")
_UNFIT_LINES = re.compile(f"(?!\n)[{_UNFIT}]")


def escape_text(text: str, max_length: int = MAX_TEXT) -> str:
    """Return a text on one line, cut, with escapes instead of what must not be shown as it is."""
    cut = text if len(text) <= max_length else f"{text[:max_length]}… ({len(text)} characters)"
    return _UNFIT_TEXT.sub(_escape, cut)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def escape_values(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape every text of an event, however deep. A structlog processor, for before the renderer."""
    # The renderer for people writes tracebacks by itself, with `write_traceback`.
    return {
        escape_text(str(name), 100): value if name == "exc_info" else _escape_value(value, 0)
        for name, value in event.items()
    }


def _escape_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return escape_text(value)
    if value is None or isinstance(value, bool | int | float):
        # A number of thousands of digits cannot even be written.
        return value if not isinstance(value, int) or value.bit_length() < 1000 else "a very large number"
    if isinstance(value, Mapping) and depth < DEEPEST:
        return {
            escape_text(str(name), 100): _escape_value(item, depth + 1)
            for name, item in islice(value.items(), MOST_ITEMS)
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < DEEPEST:
        return [_escape_value(item, depth + 1) for item in islice(value, MOST_ITEMS)]
    try:
        return escape_text(repr(value))
    except Exception:  # noqa: BLE001 - an object that cannot be shown must not take the line with it.
        return f"<{type(value).__name__} that cannot be shown>"


def write_traceback(stream: TextIO, exc_info: Any) -> None:
    """Write a traceback for people, indented: no line of an exception's message can pass for a line of the log.

    Without local variables, which may be secrets.
    """
    text = "".join(traceback.format_exception(*exc_info))
    if len(text) > LONGEST_LINE:
        text = text[: LONGEST_LINE // 2] + "\n…\n" + text[-LONGEST_LINE // 2 :]
    stream.writelines(f"\n    {escape_text(line)}" for line in text.split("\n"))


def escape_line(_logger: Any, _method: str, line: str) -> str:
    """Escape what a renderer has added to a line by itself. A structlog processor, for after the renderer."""
    return _UNFIT_LINES.sub(_escape, line)
