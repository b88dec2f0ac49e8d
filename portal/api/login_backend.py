"""The login backend: Django's own, with every try counted."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from .password_checks import counted_check


class PasswordBackend(ModelBackend):
    """A user for a name and a password, whichever page or endpoint asks.

    A name that does not exist is counted and hashed like one that does, so neither the answer nor its time tells.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the user, or None. Raises `LoginRefused`."""
        if username is None:
            username = kwargs.get(get_user_model().USERNAME_FIELD)
        if username is None or password is None:
            return None
        with counted_check(username) as check:
            user = super().authenticate(request, username=username, password=password, **kwargs)
            check.passed = user is not None
        return user
