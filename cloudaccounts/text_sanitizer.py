"""Texts of other people's clouds, which may hold anything, as our columns take them."""

from __future__ import annotations


def sanitize_text(text: str, most: int) -> str:
    """The text without what PostgreSQL refuses (NUL, halves of surrogate pairs), and no longer than `most` characters."""
    if text.isascii() and "\x00" not in text:
        return text[:most]
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:most]
