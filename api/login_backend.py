"""The login backend: Django's own, with every try counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .password_checks import count_password_check

RENAMED_FROM = "portal.api.login_backend.PasswordBackend"


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
        """Return the user, or None. Raises `LoginThrottledError` or `LoginBusyError`."""
        if username is None:
            username = kwargs.get(get_user_model().USERNAME_FIELD)
        if username is None or password is None:
            return None
        with count_password_check(username) as check:
            user = super().authenticate(request, username=username, password=password, **kwargs)
            check.passed = user is not None
        return user


class RenamedBackendMiddleware:
    """Keep people signed in who signed in under the release before, in which the backend had another name.

    A session holds the name of its backend, and Django takes a session with an unknown one for nobody's. It stands between
    the middleware of sessions and that of authentication. To be deleted with the next release.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Rename the backend in the session, and answer."""
        # Only with a cookie: to look into the session would make every answer vary by it.
        if (
            settings.SESSION_COOKIE_NAME in request.COOKIES
            and request.session.get(BACKEND_SESSION_KEY) == RENAMED_FROM
        ):
            request.session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        return self.get_response(request)
