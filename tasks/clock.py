"""The time of the database, which all processes share, and whether a stored time can be believed."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from . import queries

# How far clocks of the portal's own machines may differ. What lies further ahead than this was written by a clock that
# has been set back since, and says nothing.
TOLERANCE = timedelta(seconds=60)


def database_now() -> datetime:
    """Return the present time of the database's clock, also in the middle of a transaction."""
    return queries.fetch_now()


def is_recent(at: datetime | None, within: timedelta, now: datetime | None = None) -> bool:
    """Return whether something happened within a span before now. A time that lies ahead is no sign that it did."""
    now = now or timezone.now()
    return at is not None and now - within <= at <= now + TOLERANCE
