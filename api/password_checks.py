"""Count each check of a password, and refuse it after too many failures.

`count_password_check` surrounds each check, in the authentication backend (`login_backend.py`) and in `User.check_password`, so
it covers every form and endpoint. `LoginThrottleMiddleware` provides the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from . import login_throttle
from .client_address import client_address, client_network
from .domain_errors import LoginThrottledError

log = structlog.get_logger(__name__)

_request: ContextVar[HttpRequest | None] = ContextVar("password_check_request", default=None)
_is_counted: ContextVar[bool] = ContextVar("password_check_is_counted", default=False)


@dataclass
class PasswordCheck:
    """The result of a check of a password."""

    passed: bool = False


@contextmanager
def count_password_check(username: str) -> Iterator[PasswordCheck]:
    """Count a check of a password as a wrong one, unless the block sets `passed`. Raises `LoginThrottledError`.

    It is counted before the password is hashed, so that the limits also bound the number of simultaneous hashes. A check inside
    another one counts once. Outside of a request, as in a management command, nothing is counted.
    """
    with _count_check(username, lambda network: login_throttle.build_limits(network, username)) as check:
        yield check


@contextmanager
def count_code_check(username: str) -> Iterator[PasswordCheck]:
    """Count a check of the code of a second factor, as `count_password_check` does, but apart from passwords.

    A correct password resets the count of wrong passwords; whoever knows the password must not reset that of wrong codes.
    """
    key = f"second factor of {username}"
    with _count_check(username, lambda network: login_throttle.build_limits(network, key)) as check:
        yield check


@contextmanager
def count_provider_check(provider: str) -> Iterator[PasswordCheck]:
    """Count a sign-in with an identity provider as a failed one of its network, unless the block sets `passed` or raises."""
    with _count_check(provider, lambda network: [login_throttle.build_network_limit(network)]) as check:
        yield check


@contextmanager
def _count_check(
    username: str, build_limits: Callable[[str], list[login_throttle.FailureLimit]]
) -> Iterator[PasswordCheck]:
    request, check = _request.get(), PasswordCheck()
    if request is None or _is_counted.get():
        yield check
        return
    limits = build_limits(client_network(request))
    wait = login_throttle.charge_attempt(limits)
    if wait is not None:
        log.warning("login_throttled", username=username, address=client_address(request), seconds=wait)
        message = _("Too many failed sign-ins. Try again in %(minutes)s min.") % {"minutes": -(-wait // 60)}
        raise LoginThrottledError("locked_out", message, retry_after=wait)
    token = _is_counted.set(True)
    try:
        yield check
    except BaseException:
        login_throttle.refund_attempt(limits)
        raise
    finally:
        _is_counted.reset(token)
    if check.passed:
        login_throttle.clear_failures(limits)
    else:
        log.warning("login_failed", username=username, address=client_address(request))


class LoginThrottleMiddleware:
    """Provide the request to `count_password_check`. Refusals become pages in `page_middleware.py`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        token = _request.set(request)
        try:
            return self.get_response(request)
        finally:
            _request.reset(token)
