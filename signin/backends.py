"""The authentication backend of users who signed in with a provider."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest


class ProviderBackend(ModelBackend):
    """Finds the user of a session that was opened after a provider had proved who the user is. It checks no passwords."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return None: only `signin.sessions` opens sessions of this backend."""
        return
