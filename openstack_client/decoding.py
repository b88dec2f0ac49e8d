"""Decode the JSON of a cloud's answer into values that a database and a page accept.

An answer may hold anything: NUL, lone surrogates, terminal escapes, NaN, unlimited nesting. Such a value affects itself
alone: it is cleaned or becomes None, and the rest of the answer is read unchanged.

Most answers hold no such value. So the raw text is searched once by a regular expression (about 0.1 ms a megabyte), and
only an answer with a match is traversed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# No object of OpenStack's is nested deeper than this; deeper values become None.
MAX_DEPTH = 40
# An escape of a control character other than tab and line ends, or of a surrogate. Valid pairs match, too: traversing an
# answer costs no more than checking that each surrogate has its other half.
_ODD_ESCAPE = re.compile(r"\\(?:[bf]|u(?:00[01][0-9a-fA-F]|007[fF]|00[89][0-9a-fA-F]|[dD][89a-fA-F]))")
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ODD_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def decode_json(content: bytes) -> Any:
    """Return the value of a JSON document, cleaned.

    Raises `ValueError` for invalid JSON, after lenient parsing too, and `RecursionError` for nesting that is never closed.
    """
    text = content.decode("utf-8-sig", "replace")
    try:
        value = _loads(text)
    except (ValueError, RecursionError):
        # Unescaped control characters, numbers of thousands of digits, or nesting that exhausts the parser.
        value = clean_value(_loads(_cut_nesting(text), strict=False, parse_int=_parse_integer))
    else:
        if _is_suspicious(content, text):
            value = clean_value(value)
    return value


def clean_text(text: str, max_length: int | None = None) -> str:
    """Return a text without control characters and with "?" for lone surrogates, cut to a length.

    PostgreSQL refuses NUL and surrogates in texts.

    Tabs and line ends stay. Terminal escapes lose the ESC that makes them work.
    """
    if not text.isprintable() and _ODD_CHARACTERS.search(text):
        text = _CONTROL_CHARACTERS.sub("", text).encode("utf-8", "replace").decode()
    return text if max_length is None or len(text) <= max_length else text[:max_length]


def clean_value(value: Any, depth: int = 0) -> Any:
    """Return a JSON value with every text and key cleaned, and values nested too deeply replaced by None.

    In an "id", invalid characters are replaced instead of dropped, so that the rest cannot equal another id.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        if depth >= MAX_DEPTH:
            return None
        return {
            clean_text(key): _ODD_CHARACTERS.sub("\ufffd", member)
            if key == "id" and isinstance(member, str)
            else clean_value(member, depth + 1)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return None if depth >= MAX_DEPTH else [clean_value(member, depth + 1) for member in value]
    return value


def _loads(text: str, *, strict: bool = True, parse_int: Any = None) -> Any:
    return json.loads(
        text, strict=strict, parse_int=parse_int, parse_float=_parse_float, parse_constant=_discard_constant
    )


def _is_suspicious(content: bytes, text: str) -> bool:
    """Return whether anything in an answer may have to be cleaned."""
    # Strict JSON has no unescaped control character below 0x20, but it may have DEL and those from 0x80 to 0x9f.
    if b"\\" in content and _ODD_ESCAPE.search(text):
        return True
    if b"\x7f" in content:
        return True
    return b"\xc2" in content and _CONTROL_CHARACTERS.search(text) is not None


def _parse_float(digits: str) -> float | None:
    # Python reads 1e999 as infinity, which the database refuses.
    number = float(digits)
    return number if math.isfinite(number) else None


def _parse_integer(digits: str) -> int | None:
    # Python refuses numbers of more than 4,300 digits, and parsing long ones takes time.
    return int(digits) if len(digits) <= 20 else None


def _discard_constant(_word: str) -> None:
    # Python accepts NaN and Infinity, which are not JSON.
    return None


def _cut_nesting(text: str) -> str:
    """Return the text with null for each array or object that is nested too deeply, so that it can be parsed."""
    kept: list[str] = []
    depth, copied = 0, 0
    for match in _BRACKETS_AND_STRINGS.finditer(text):
        sign = match[0]
        if sign in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept.append(text[copied : match.start()])
        elif sign in "]}":
            depth -= 1
            if depth == MAX_DEPTH:
                kept.append("null")
                copied = match.end()
    if depth > MAX_DEPTH:
        raise RecursionError("the text ends inside a value that is nested too deeply")
    kept.append(text[copied:])
    return "".join(kept)
