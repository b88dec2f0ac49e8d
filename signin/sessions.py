"""Open the session of a user whose identity has been proved."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest

from api.sign_in_methods import set_sign_in_method
from security.encryption import UnreadableSecretError, decrypt, encrypt
from tenants.models import User

PROVIDER_BACKEND = "signin.backends.ProviderBackend"
_PROVIDER_KEY = "sign_in_provider"
_ID_TOKEN_KEY = "sign_in_id_token"  # noqa: S105 - the name of a value in the session.
MAX_ID_TOKEN_LENGTH = 8000


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
) -> None:
    """Open a session. `hours` limit it; `id_token` is kept, encrypted, for the logout at the provider."""
    set_sign_in_method(request, method=method, provider=provider, factor=factor)
    login(request, user, backend=backend or settings.AUTHENTICATION_BACKENDS[0])
    if provider:
        request.session[_PROVIDER_KEY] = provider
    if id_token and len(id_token) <= MAX_ID_TOKEN_LENGTH:
        request.session[_ID_TOKEN_KEY] = encrypt(id_token)
    if hours is not None:
        request.session.set_expiry(int(hours * 3600))


def read_provider(session: Any) -> tuple[str, str]:
    """Return the key of the provider with which a session was opened, and its ID token; each may be empty."""
    try:
        id_token = decrypt(str(session.get(_ID_TOKEN_KEY, "")))
    except UnreadableSecretError:  # Its key was removed; the provider then asks the user.
        id_token = ""
    return str(session.get(_PROVIDER_KEY, "")), id_token
