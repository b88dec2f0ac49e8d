"""Decode the JSON of a cloud's answer into values that a database and a page can take.

An answer may hold anything: NUL, halves of surrogate pairs, terminal escapes, numbers that are none, nesting without end.
Such a value spoils itself alone: it is cleaned or becomes None, and the rest of the answer is read as it is.

Most answers hold nothing of the kind, so the raw text is searched once at the speed of C (about 0.1 ms a megabyte), and
only an answer in which something was found is walked through.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# Deeper than this, no object of OpenStack's is nested; what is deeper becomes None.
MAX_DEPTH = 40
# An escape that stands for a control character other than tab and line ends, or for half of a surrogate pair, whole ones
# among them: to walk through an answer costs no more than to find out that each has its other half.
_ODD_ESCAPE = re.compile(r"\\(?:[bf]|u(?:00[01][0-9a-fA-F]|007[fF]|00[89][0-9a-fA-F]|[dD][89a-fA-F]))")
_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ODD_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def decode_json(content: bytes) -> Any:
    """Return the value of a JSON document, cleaned.

    Raises `ValueError` for what is no JSON, even leniently read, and `RecursionError` for nesting that never ends.
    """
    text = content.decode("utf-8-sig", "replace")
    try:
        value = _loads(text)
    except (ValueError, RecursionError):
        # Control characters as they are, numbers of thousands of digits, and nesting that exhausts the parser.
        value = clean_value(_loads(_cut_nesting(text), strict=False, parse_int=_integer))
    else:
        if _is_suspicious(content, text):
            value = clean_value(value)
    return value


def clean_text(text: str, most: int | None = None) -> str:
    """Return the text without control characters, with a mark for each half of a surrogate pair, and at most so long.

    Tabs and line ends stay. Terminal escapes lose the ESC that makes them work.
    """
    if not text.isprintable() and _ODD_CHARACTERS.search(text):
        text = _CONTROL_CHARACTERS.sub("", text).encode("utf-8", "replace").decode()
    return text if most is None or len(text) <= most else text[:most]


def clean_value(value: Any, depth: int = 0) -> Any:
    """Return a JSON value with every text and key in it cleaned, and what is nested too deeply replaced by None.

    In an "id", what is odd is replaced by a mark instead of being dropped: the rest must not pass for another id.
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
        text, strict=strict, parse_int=parse_int, parse_float=_float, parse_constant=_no_constant
    )


def _is_suspicious(content: bytes, text: str) -> bool:
    """Return whether anything in an answer may have to be cleaned."""
    # Strict JSON holds no control character below 0x20 as it is, but it may hold DEL and those from 0x80 to 0x9f.
    if b"\\" in content and _ODD_ESCAPE.search(text):
        return True
    if b"\x7f" in content:
        return True
    return b"\xc2" in content and _CONTROL_CHARACTERS.search(text) is not None


def _float(digits: str) -> float | None:
    # 1e999 is infinite for Python, and nothing that a database takes.
    number = float(digits)
    return number if math.isfinite(number) else None


def _integer(digits: str) -> int | None:
    # Python refuses to read numbers of more than 4,300 digits, and reading long ones takes time.
    return int(digits) if len(digits) <= 20 else None


def _no_constant(_word: str) -> None:
    # Python reads NaN and Infinity, which JSON does not have.
    return None


def _cut_nesting(text: str) -> str:
    """Return the text with null for each array or object that is nested too deeply, so that a parser gets through it."""
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
        raise RecursionError("it ends in the middle of something nested too deeply")
    kept.append(text[copied:])
    return "".join(kept)
