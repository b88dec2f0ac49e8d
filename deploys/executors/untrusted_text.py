"""Text from hosts and programs, made safe to store and show: typed, bounded, printable.

Whoever controls a host controls each byte of what its modules, programs and services answer. So nothing of that is
taken as it comes: PostgreSQL refuses NUL and halves of surrogate pairs, terminals obey escape sequences, and a dictionary
where a text should be ends whatever expects the text.
"""

from __future__ import annotations

import json
import re
from typing import Any

# The longest text that is looked at, in characters. What is kept of it is less, and said by each caller.
READ_CHARACTERS = 1_000_000
# All controls but tab and line feed; C1 controls, which some terminals obey as well; line separators of Unicode; marks that
# turn the direction of what follows; and halves of surrogate pairs.
UNPRINTABLE = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
SURROGATES = re.compile(r"[\ud800-\udfff]")
LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]{0,127}")


def clean_text(value: object, most: int) -> str:
    """Return any value as a text of at most `most` characters that can be stored and shown. Never raises."""
    if not isinstance(value, str):
        value = _text_of(value)
    return UNPRINTABLE.sub("", decode_escaped(value[:READ_CHARACTERS]).replace("\r\n", "\n"))[:most]


def clean_ends(value: object, most: int) -> str:
    """Return any value as `clean_text` does; a longer one loses its middle, because the end tells why."""
    text = clean_text(value, READ_CHARACTERS)
    quarter = most // 4
    return text if len(text) <= most else f"{text[:quarter]} ... {text[quarter - most + 5 :]}"


def clean_label(value: object) -> str | None:
    """Return the label of a version as a host names it: "" for none, None for what is no label."""
    if value == "" or (isinstance(value, str) and LABEL.fullmatch(value)):
        return str(value)
    return None


def decode_output(data: bytes) -> str:
    """Return the text of a line that a program printed, whatever its encoding. Never raises.

    It is UTF-8, or else the encoding of Chinese systems (GBK, GB18030) if that makes sense of it; what neither reads is
    replaced. A program that succeeds has succeeded, however its words are encoded.
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
    others = [character for character in text if not character.isascii()]
    common = 0
    for character in others:
        try:
            character.encode("gb2312")
        except UnicodeEncodeError:
            continue
        common += 1
    return common * 2 >= len(others)


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return f"<{type(value).__name__}>"
