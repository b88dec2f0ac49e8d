"""Texts from clouds, which may hold any characters, made fit for text columns."""

from __future__ import annotations


def sanitize_text(text: str, max_length: int) -> str:
    """Return a text without characters that PostgreSQL refuses (NUL, halves of surrogate pairs), cut to a length."""
    if text.isascii() and "\x00" not in text:
        return text[:max_length]
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:max_length]
