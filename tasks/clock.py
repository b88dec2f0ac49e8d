"""The time of the database, which all processes share, and the plausibility of stored times."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from . import queries

# The maximum difference between the clocks of the portal's machines. A time that is further in the future was written by a
# clock that was set back since, and does not count.
TOLERANCE = timedelta(seconds=60)


def database_now() -> datetime:
    """Return the present time of the database's clock. It also advances within a transaction."""
    return queries.fetch_now()


def is_recent(at: datetime | None, within: timedelta, now: datetime | None = None) -> bool:
    """Return whether a time is within a span before now. A time in the future is not."""
    now = now or timezone.now()
    return at is not None and now - within <= at <= now + TOLERANCE
