"""The events of signing in and out. They belong to the platform: a user may be in several tenants."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from .recording import record_event


def record_sign_in(request: HttpRequest | None, user: Any, **_signal: Any) -> None:
    """Record that a user has signed in."""
    _record("sign_in.succeeded", user, user.get_username())


def record_sign_out(request: HttpRequest | None, user: Any, **_signal: Any) -> None:
    """Record that a user has signed out. A session that had ended already has no user."""
    if user is not None:
        _record("sign_in.ended", user, user.get_username())


def record_failure(credentials: dict[str, Any], **_signal: Any) -> None:
    """Record an attempt with a wrong username or password. The username may be that of nobody, or a mistyped password.

    Therefore it is kept only as far as a username may be long, and the limits of failed attempts bound how many there are.
    """
    _record("sign_in.failed", None, str(credentials.get("username") or ""))


def _record(code: str, user: Any, name: str) -> None:
    actor = {"actor_type": "user", "actor_id": user.pk, "actor_name": name[:150]} if user is not None else {}
    record_event(
        code,
        tenant_id=None,
        object_type="user",
        object_id=user.pk if user is not None else "",
        object_name=name[:150],
        **actor,
    )
