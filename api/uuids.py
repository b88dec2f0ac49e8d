"""Ids that come as text."""

from __future__ import annotations

from uuid import UUID


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID, in any of the forms that `UUID` reads."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
