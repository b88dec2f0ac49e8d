"""Open the session of a user whose identity has been proved, and keep a sign-in that still lacks its second factor."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest

from api.sessions import PROVIDER_SESSION_KEY
from api.sign_in_methods import set_sign_in_method
from security.encryption import UnreadableSecretError, decrypt, encrypt
from tenants.models import User

PROVIDER_BACKEND = "signin.backends.ProviderBackend"
_PROVIDER_KEY = "sign_in_provider"
_ID_TOKEN_KEY = "sign_in_id_token"  # noqa: S105 - the name of a value in the session.
_PENDING_KEY = "pending_sign_in"
MAX_ID_TOKEN_LENGTH = 8000
# How long the page waits for the code of a second factor.
PENDING_SECONDS = 600


def open_session(
    request: HttpRequest,
    user: User,
    *,
    method: str,
    backend: str = "",
    provider: str = "",
    factor: str = "",
    id_token: str = "",
    hours: float | None = None,
    provider_session: str = "",
) -> None:
    """Open a session. `hours` limit it; `id_token` is kept, encrypted, for the logout at the provider.

    `provider_session` names the session at the provider, at whose end this one ends.
    """
    set_sign_in_method(request, method=method, provider=provider, factor=factor)
    login(request, user, backend=backend or settings.AUTHENTICATION_BACKENDS[0])
    if provider:
        request.session[_PROVIDER_KEY] = provider
    if id_token and len(id_token) <= MAX_ID_TOKEN_LENGTH:
        request.session[_ID_TOKEN_KEY] = encrypt(id_token)
    if provider_session:
        request.session[PROVIDER_SESSION_KEY] = provider_session
    if hours is not None:
        request.session.set_expiry(int(hours * 3600))


def read_provider(session: Any) -> tuple[str, str]:
    """Return the key of the provider with which a session was opened, and its ID token; each may be empty."""
    try:
        id_token = decrypt(str(session.get(_ID_TOKEN_KEY, "")))
    except UnreadableSecretError:  # Its key was removed; the provider then asks the user.
        id_token = ""
    return str(session.get(_PROVIDER_KEY, "")), id_token


def keep_pending(request: HttpRequest, user: User, address: str, **session: Any) -> None:
    """Keep a sign-in whose second factor is missing in the session of the browser, which is signed in as nobody by it.

    `address` is the page to go to, `session` are the arguments of `open_session`.
    """
    request.session[_PENDING_KEY] = {
        "user": str(user.pk),
        "epoch": user.credentials_epoch,
        "at": time.time(),
        "address": address,
        "session": session | {"id_token": encrypt(session.get("id_token", ""))},
    }


def find_pending(request: HttpRequest) -> tuple[User, str, dict[str, Any]] | None:
    """Return the user, the page and the arguments that `keep_pending` kept; None when there is none, or it is outdated.

    A user who was disabled meanwhile, or whose password was changed, has to begin again.
    """
    kept = request.session.get(_PENDING_KEY)
    if kept is None or not 0 <= time.time() - kept["at"] < PENDING_SECONDS:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True, credentials_epoch=kept["epoch"]).first()
    if user is None:
        return None
    try:
        id_token = decrypt(kept["session"]["id_token"])
    except UnreadableSecretError:
        id_token = ""
    return user, kept["address"], kept["session"] | {"id_token": id_token}


def forget_pending(request: HttpRequest) -> None:
    """Forget the sign-in that lacks its second factor."""
    request.session.pop(_PENDING_KEY, None)
