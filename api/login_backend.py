"""The authentication backend: Django's own, with every attempt counted."""

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


Directory = Callable[[str, str], Any]
_directories: list[Directory] = []


def register_directory(find_user: Directory) -> Directory:
    """Register a function that returns the user of a name and password that are not local, or None. For `AppConfig.ready()`."""
    _directories.append(find_user)
    return find_user


class PasswordBackend(ModelBackend):
    """Authenticates by username and password, for every page and endpoint: local users, then those of directories.

    An unknown username is counted, and its password hashed, like those of a known one, so neither the response nor its time
    reveals which usernames exist.
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
            if user is None and _directories and not _has_local_password(username):
                user = next(filter(None, (find_user(username, password) for find_user in _directories)), None)
            check.passed = user is not None
        return user


def _has_local_password(username: str) -> bool:
    """Return whether a local user has the name: their password is never sent to a directory, and no outage of one concerns them."""
    user = get_user_model().objects.filter(**{get_user_model().USERNAME_FIELD: username}).first()
    return user is not None and user.has_usable_password()


class RenamedBackendMiddleware:
    """Keep users signed in who signed in under the release before, in which the backend had another name.

    A session holds the name of its backend, and Django treats a session with an unknown backend as anonymous. It comes between
    the middleware of sessions and that of authentication. To be deleted with the next release.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Rename the backend in the session, and answer the request."""
        # Only with a session cookie: reading the session would make every response vary by the cookie.
        if (
            settings.SESSION_COOKIE_NAME in request.COOKIES
            and request.session.get(BACKEND_SESSION_KEY) == RENAMED_FROM
        ):
            request.session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        return self.get_response(request)
