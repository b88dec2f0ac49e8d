"""Details of a user in `auth/me`, which rooms register, so that `api` imports none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Describe = Callable[[Any], dict[str, Any]]
_describers: list[Describe] = []


def register_user_details(describe: Describe) -> Describe:
    """Register a function whose result `auth/me` includes. For a room's `AppConfig.ready()`."""
    _describers.append(describe)
    return describe


def collect_user_details(user: Any) -> dict[str, Any]:
    """Return the registered details of a user."""
    return {name: value for describe in _describers for name, value in describe(user).items()}
