"""The events of signing in and out. They belong to the platform: a user may be in several tenants."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from api.sign_in_methods import describe_sign_in

from .recording import record_event


def record_sign_in(request: HttpRequest | None, user: Any, **_signal: Any) -> None:
    """Record that a user has signed in, and how: with which provider and which second factor."""
    _record("sign_in.succeeded", user, user.get_username(), describe_sign_in(request))


def record_sign_out(request: HttpRequest | None, user: Any, **_signal: Any) -> None:
    """Record that a user has signed out. A session that had ended already has no user."""
    if user is not None:
        _record("sign_in.ended", user, user.get_username())


def record_provider_sign_out(user: Any, provider: str) -> None:
    """Record that a provider has ended the sessions of a user."""
    _record("sign_in.ended", user, user.get_username(), {"method": "oidc", "provider": provider})


def record_failure(credentials: dict[str, Any], **_signal: Any) -> None:
    """Record an attempt with a wrong username or password. The username may be that of nobody, or a mistyped password.

    Therefore it is kept only as far as a username may be long, and the limits of failed attempts bound how many there are.
    """
    _record("sign_in.failed", None, str(credentials.get("username") or ""))


def record_refusal(*, user: Any = None, name: str = "", **parameters: str) -> None:
    """Record a sign-in that was refused after the password, or by a provider: its `reason` is a stable code."""
    _record("sign_in.failed", user, name or user.get_username(), parameters)


def _record(code: str, user: Any, name: str, parameters: dict[str, str] | None = None) -> None:
    actor = {"actor_type": "user", "actor_id": user.pk, "actor_name": name[:150]} if user is not None else {}
    record_event(
        code,
        tenant_id=None,
        object_type="user",
        object_id=user.pk if user is not None else "",
        object_name=name[:150],
        parameters=parameters or {},
        **actor,
    )
