"""Details of a user in `auth/me` beyond the user's own row: rooms register them, so that this module imports none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Describe = Callable[[Any], dict[str, Any]]
_describers: list[Describe] = []


def register_user_details(describe: Describe) -> Describe:
    """Have `auth/me` include what `describe(user)` returns. Called from a room's `AppConfig.ready()`."""
    _describers.append(describe)
    return describe


def user_details(user: Any) -> dict[str, Any]:
    """Return the details that the rooms have registered for a user."""
    return {name: value for describe in _describers for name, value in describe(user).items()}
