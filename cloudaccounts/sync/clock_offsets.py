"""Clock offsets of clouds, as syncs read them, written to their accounts."""

from __future__ import annotations

from django.db import connection

from ..models import CloudAccount
from ..queries import RECORD_CLOCK_OFFSET

# An answer's date has whole seconds and is older by its transit time, so a smaller change is noise.
_SMALLEST_CHANGE_SECONDS = 5.0


def record_clock_offset(account: CloudAccount, region: str, offset: float | None) -> None:
    """Record how many seconds a region's clock is ahead of ours, unless it has hardly changed; one statement.

    Safe when two regions are recorded at once: each writes its own key.
    """
    if offset is None:
        return
    known = account.clock_offsets.get(region)
    if isinstance(known, int | float) and abs(known - offset) < _SMALLEST_CHANGE_SECONDS:
        return
    account.clock_offsets[region] = round(offset, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD_CLOCK_OFFSET,
            [region, round(offset, 1), account.pk],
        )
