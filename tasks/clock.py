"""What time it is: the database's word, which all processes share; and whether a stored time can be believed."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

# How far clocks of the portal's own machines may differ. What lies further ahead than this was written by a clock that
# has been set back since, and says nothing.
TOLERANCE = timedelta(seconds=60)


def database_now() -> datetime:
    """Now, on the database's clock, also in the middle of a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now


def is_recent(at: datetime | None, within: timedelta, now: datetime | None = None) -> bool:
    """Whether something happened within a span before now. A time that lies ahead is no sign that it did."""
    now = now or timezone.now()
    return at is not None and now - within <= at <= now + TOLERANCE
