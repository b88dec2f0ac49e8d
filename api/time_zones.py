"""Validate time zones, and activate the zone in which pages show times.

Stored times are in UTC, and so are those of the API. Pages and the admin show them in the user's zone, else the tenant's, else
that of the setting, with the offset from UTC, because names such as CST mean several zones. Dates, such as the end date of a
VM, are in the tenant's zone, so that they mean the same day for all its members.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .page_addresses import is_for_programs


class OffsetNamedZone(ZoneInfo):
    """A time zone that names its times by their offset from UTC: "UTC+8"."""

    def tzname(self, dt: datetime | None, /) -> str | None:
        """Return "UTC", "UTC+1", "UTC-3:30"; without a time, the zone's own name."""
        if dt is None:
            return super().tzname(None)
        minutes = (self.utcoffset(dt) or timedelta(0)) // timedelta(minutes=1)
        if not minutes:
            return "UTC"
        hours, rest = divmod(abs(minutes), 60)
        return f"UTC{'+' if minutes > 0 else '-'}{hours}{f':{rest:02}' if rest else ''}"


@lru_cache(maxsize=1)
def list_time_zone_names() -> frozenset[str]:
    """Return the known IANA names of places, and "UTC"."""
    return frozenset(
        name
        for name in available_timezones()
        if name == "UTC" or ("/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/")))
    )


def validate_time_zone(name: str) -> None:
    """Raise a validation error for a name that is no known IANA name."""
    if name not in list_time_zone_names():
        raise ValidationError(
            _("Unknown time zone '%(name)s'. Enter an IANA name, such as Europe/Berlin."),
            code="no_such_time_zone",
            params={"name": name[:100]},
        )


def find_time_zone(*names: str) -> OffsetNamedZone:
    """Return the first named zone that is known, else that of the setting.

    A stored name may have become unknown, which must not fail a page.
    """
    for name in names:
        if name in list_time_zone_names():
            return OffsetNamedZone(name)
    return OffsetNamedZone(settings.DEFAULT_TIME_ZONE)


def today_in(name: str, now: datetime | None = None) -> date:
    """Return the present date in a tenant's zone; "" is the zone of the setting."""
    return timezone.localdate(now or timezone.now(), find_time_zone(name))


def activate_time_zone(user: Any, tenant: Any) -> None:
    """Activate the user's zone, else the tenant's, until the request ends."""
    timezone.activate(find_time_zone(getattr(user, "time_zone", ""), getattr(tenant, "time_zone", "")))


class TimeZoneMiddleware:
    """Reset the active time zone after each request; in the admin, activate the user's zone.

    `page_scope` activates the zone of other pages. The API stays in UTC.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        if is_for_programs(request.path):
            return self.get_response(request)
        user = request.user if request.path.startswith("/admin/") else None
        with timezone.override(find_time_zone(getattr(user, "time_zone", ""))):
            return self.get_response(request)
