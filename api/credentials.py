"""Authentication by username, password and second factor, over REST."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from .domain_errors import UnauthenticatedError
from .second_factor import check_second_factor


def authenticate_user(request: Request, username: str, password: str, code: str = "") -> tuple[Any, str]:
    """Return the user of a name and password, and the second factor that was used ("" when the user has none).

    Raises `DomainError`: 401 `wrong_credentials`, the same for a wrong username, a wrong password and a disabled user; 401
    `code_required` or `wrong_code` for a user with a second factor; 429 `locked_out` after too many attempts; 503 `login_busy`
    when too many users sign in at once.
    """
    user = authenticate(request._request, username=username, password=password)  # noqa: SLF001 - Django's own request.
    if user is None:
        raise UnauthenticatedError("wrong_credentials", _("Incorrect username or password."))
    return user, check_second_factor(user, code)
