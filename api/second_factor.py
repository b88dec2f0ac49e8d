"""The second factor of a sign-in. The room that knows the factors registers how a code is checked, so that `api` imports it not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from .domain_errors import ForbiddenError

Check = Callable[[Any, str], str]
_checks: list[Check] = []
SECOND_FACTOR_REQUIRED = _("A second factor is required here, and you have none. Set one up in your profile.")


def register_second_factor_check(check: Check) -> Check:
    """Register the check of a user's code, which returns the factor and raises the refusal. For a room's `AppConfig.ready()`."""
    _checks.append(check)
    return check


def check_second_factor(user: Any, code: str) -> str:
    """Return the factor that a code proves, "" for a user without one. Raises `UnauthenticatedError` or `LoginThrottledError`."""
    factor = ""
    for check in _checks:
        factor = factor or check(user, code)
    return factor


def lacks_staff_second_factor(user: Any) -> bool:
    """Return whether the user is staff without a second factor, where the installation demands one of staff."""
    return bool(settings.SECOND_FACTOR_FOR_STAFF and user.is_staff and not user.second_factor)


def require_staff_second_factor(user: Any) -> None:
    """Refuse staff without a second factor with 403 `second_factor_required`, where the installation demands one."""
    if lacks_staff_second_factor(user):
        raise ForbiddenError("second_factor_required", SECOND_FACTOR_REQUIRED)
