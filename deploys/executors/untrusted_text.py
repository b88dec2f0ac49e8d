"""Text from hosts and programs, made safe to store and show: typed, bounded, printable.

The owner of a host controls each byte that its modules, programs and services answer. So every value is checked: PostgreSQL
refuses NUL and lone surrogates, terminals obey escape sequences, and code that expects a text fails on a dictionary.
"""

from __future__ import annotations

import json
import re
from typing import Any

# In characters: the part of a text that is examined. Each caller sets a lower limit for the part that is kept.
MAX_READ_CHARACTERS = 1_000_000
# Control characters except tab and line feed; C1 controls, which some terminals obey as well; Unicode's line separators and
# bidirectional controls; and lone surrogates.
UNPRINTABLE = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
SURROGATES = re.compile(r"[\ud800-\udfff]")
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")


def clean_text(value: object, max_characters: int) -> str:
    """Return any value as a text of at most `max_characters` characters that can be stored and shown. Never raises."""
    if not isinstance(value, str):
        value = _to_text(value)
    return UNPRINTABLE.sub("", decode_escaped(value[:MAX_READ_CHARACTERS]).replace("\r\n", "\n"))[
        :max_characters
    ]


def clean_ends(value: object, max_characters: int) -> str:
    """Return any value as `clean_text` does; a longer text loses its middle, because its end usually explains a failure."""
    text = clean_text(value, MAX_READ_CHARACTERS)
    quarter = max_characters // 4
    return (
        text
        if len(text) <= max_characters
        else f"{text[:quarter]} ... {text[quarter - max_characters + 5 :]}"
    )


def clean_label(value: object) -> str | None:
    """Return a version's label that a host reported: "" when it has none, None for an invalid label."""
    if value == "" or (isinstance(value, str) and LABEL.fullmatch(value)):
        return str(value)
    return None


def decode_output(data: bytes) -> str:
    """Return the text of a line that a program printed, whatever its encoding. Never raises.

    It is decoded as UTF-8, or else as GB18030, the encoding of Chinese systems, if the result is likely to be Chinese.
    Otherwise the invalid bytes are replaced: the encoding of its output must not make a program fail.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return data.decode(errors="replace")
    return text if _is_common_chinese(text) else data.decode(errors="replace")


def decode_escaped(text: str) -> str:
    """Return a text with the bytes that Python could not decode (`surrogateescape`) decoded as `decode_output` does."""
    if not SURROGATES.search(text):
        return text
    try:
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return SURROGATES.sub("\ufffd", text)
    return "\n".join(decode_output(line) for line in data.split(b"\n"))


def _is_common_chinese(text: str) -> bool:
    """Return whether at least half of what is not ASCII is in GB 2312: any two bytes are some character of GB18030."""
    non_ascii = [character for character in text if not character.isascii()]
    common_count = 0
    for character in non_ascii:
        try:
            character.encode("gb2312")
        except UnicodeEncodeError:
            continue
        common_count += 1
    return common_count * 2 >= len(non_ascii)


def _to_text(value: Any) -> str:
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
