"""How far the clocks of clouds are from the portal's, as syncs find it: kept on the account."""

from __future__ import annotations

from django.db import connection

from ..clock_words import clock_warning
from ..models import CloudAccount

__all__ = ["clock_warning", "note_clock_offset"]

# What an answer says is cut to seconds and has travelled; a smaller move is nothing to write down.
_WORTH_WRITING_SECONDS = 5.0


def note_clock_offset(account: CloudAccount, region: str, offset: float | None) -> None:
    """Keep how many seconds a region's clock is ahead of ours, unless that is what is known already. One statement.

    Safe against two regions that are noted at once: each writes its own key.
    """
    if offset is None:
        return
    known = account.clock_offsets.get(region)
    if isinstance(known, int | float) and abs(known - offset) < _WORTH_WRITING_SECONDS:
        return
    account.clock_offsets[region] = round(offset, 1)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE cloudaccounts_cloudaccount SET clock_offsets = clock_offsets || jsonb_build_object(%s::text, %s::numeric)"
            " WHERE id = %s",
            [region, round(offset, 1), account.pk],
        )
