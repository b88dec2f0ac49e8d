"""Time zones: which ones there are, how their times are written, and whose holds for what is shown.

Stored times are instants, and REST writes them in UTC. Pages and the admin show them in the zone of the person, else of the
tenant, else of the setting; each with its distance from UTC, as names such as CST mean several zones.
What a day is (the last day of a VM's runtime) is the tenant's: everybody in it means the same day.
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


class ShownZone(ZoneInfo):
    """A time zone whose times are called by their distance from UTC: "UTC+8"."""

    def tzname(self, dt: datetime | None, /) -> str | None:
        """Return "UTC", "UTC+1", "UTC-3:30"; for no time in particular what the zone itself says."""
        if dt is None:
            return super().tzname(None)
        minutes = (self.utcoffset(dt) or timedelta(0)) // timedelta(minutes=1)
        if not minutes:
            return "UTC"
        hours, rest = divmod(abs(minutes), 60)
        return f"UTC{'+' if minutes > 0 else '-'}{hours}{f':{rest:02}' if rest else ''}"


@lru_cache(maxsize=1)
def time_zone_names() -> frozenset[str]:
    """Return the IANA names that are known here, without those that are no place and no UTC."""
    return frozenset(
        name
        for name in available_timezones()
        if name == "UTC" or ("/" in name and not name.startswith(("Etc/", "posix/", "right/", "SystemV/")))
    )


def validate_time_zone(name: str) -> None:
    """Raise a validation error for what is no IANA name that is known here."""
    if name not in time_zone_names():
        raise ValidationError(
            _("There is no time zone '%(name)s'; name one as IANA does, such as Europe/Berlin."),
            code="no_such_time_zone",
            params={"name": name[:100]},
        )


def zone(*names: str) -> ShownZone:
    """Return the first zone that is named and known, else that of the setting.

    A name that was stored once and is known no more costs nobody a page.
    """
    for name in names:
        if name in time_zone_names():
            return ShownZone(name)
    return ShownZone(settings.DEFAULT_TIME_ZONE)


def today_in(name: str, now: datetime | None = None) -> date:
    """Return the day that it is in a tenant's zone ("" is that of the setting)."""
    return timezone.localdate(now or timezone.now(), zone(name))


def activate_time_zone(user: Any, tenant: Any) -> None:
    """Have times shown, until the request ends, as the person has chosen, else as the tenant has."""
    timezone.activate(zone(getattr(user, "time_zone", ""), getattr(tenant, "time_zone", "")))


class TimeZoneMiddleware:
    """Show times in the person's zone, and forget it with the end of the request.

    A page that belongs to a tenant takes the tenant's zone when the person has chosen none: `page_scope` says so.
    REST stays in UTC.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        if is_for_programs(request.path):
            return self.get_response(request)
        user = request.user if request.path.startswith("/admin/") else None
        with timezone.override(zone(getattr(user, "time_zone", ""))):
            return self.get_response(request)
