"""A user for a name and a password; tries are counted and cut off by django-axes."""

from __future__ import annotations

from typing import Any

import structlog
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.contrib.auth import authenticate
from django.utils.translation import gettext_lazy as _
from rest_framework.request import Request

from .client_address import client_address
from .errors import Refused

log = structlog.get_logger(__name__)


def user_for(request: Request, username: str, password: str) -> Any:
    """The user of a name and password.

    Raises `Refused` 401 `wrong_credentials`, the same for a wrong name, a wrong password and a user that was
    switched off, or 429 `locked_out` after too many tries from one address.
    """
    asked = request._request  # noqa: SLF001 - django-axes keeps its marks on Django's own request.
    credentials = {"username": username}
    if not AxesProxyHandler.is_allowed(asked, credentials):
        raise _locked_out(username, asked)
    user = authenticate(asked, username=username, password=password)
    if user is None:
        log.warning("login_failed", username=username, address=client_address(asked))
        if not AxesProxyHandler.is_allowed(asked, credentials):
            raise _locked_out(username, asked)
        raise Refused(401, "wrong_credentials", _("User name or password is wrong."))
    return user


def forgive_failures(request: Request, username: str) -> None:
    """Forget the failed tries of who has shown the right password (a login does that by its own signal)."""
    AxesProxyHandler.reset_attempts(ip_address=client_address(request._request), username=username)  # noqa: SLF001


def _locked_out(username: str, asked: Any) -> Refused:
    # The mark would have AxesMiddleware replace our answer by a page of its own.
    asked.axes_locked_out = False
    log.warning("login_locked_out", username=username, address=client_address(asked))
    cool_off = get_cool_off()
    return Refused(
        429,
        "locked_out",
        _("Too many failed logins; try again later."),
        retry_after=int(cool_off.total_seconds()) if cool_off else None,
    )
