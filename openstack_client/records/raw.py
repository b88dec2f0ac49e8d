"""Values out of a service's raw JSON. What is not of the kind that it should be is as if it were not there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ..translation import nonsense

_fromisoformat = datetime.fromisoformat


def id_of(raw: Any, what: str) -> str:
    """The object's id. Raises `CloudUnavailable` when there is none: such an answer must not be taken for the truth."""
    if not isinstance(raw, dict):
        raise nonsense(f"a {what} that is no object")
    found = raw.get("id")
    if not isinstance(found, str) or not found:
        raise nonsense(f"a {what} without an id")
    return found


def text(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def integer(value: Any) -> int | None:
    """A whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def texts(value: Any) -> tuple[str, ...]:
    """The texts of a list; none for what is no list."""
    if not isinstance(value, list):
        return ()
    return tuple([one for one in value if isinstance(one, str)])


def mapping(value: Any) -> Mapping[str, str]:
    """An object of texts, or an empty one. What is no text in it is left out."""
    if not isinstance(value, dict):
        return {}
    for one in value.values():
        if not isinstance(one, str):
            return {key: text for key, text in value.items() if isinstance(text, str)}
    return value


def project_of(raw: Mapping[str, Any]) -> str | None:
    """The id of an object's project, which older services call a tenant."""
    return text(raw.get("project_id")) or text(raw.get("tenant_id"))


def moment(value: Any) -> datetime | None:
    """A moment, aware, or None. OpenStack writes UTC, sometimes without saying so."""
    if not isinstance(value, str):
        return None
    try:
        found = _fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
