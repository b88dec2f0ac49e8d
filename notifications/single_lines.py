"""Texts of unknown origin as single lines: what receivers answer, and names that stand in messages."""

from __future__ import annotations

from django.utils.text import Truncator

from .models import MAX_ERROR_LENGTH


def to_line(text: str, most: int = MAX_ERROR_LENGTH) -> str:
    """Return a text as one line of at most `most` printable characters, so that it cannot begin a header or line of its own."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return Truncator(line).chars(most)
