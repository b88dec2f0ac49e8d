"""Whose picture is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from tasks.clock import TOLERANCE

from ..queries import MEASURE_STALENESS
from ..registry import list_syncers, providers

# Without a success for so many intervals, something is wrong: silence is not health.
INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Staleness:
    """An account that is synced by schedule, and its type whose last success is the longest ago; None: there was none."""

    account_id: int
    name: str
    type: str
    synced_at: datetime | None
    seconds: float
    stale: bool


def freshness(account_ids: list[int] | None = None) -> list[Staleness]:
    """Of every active account with a schedule its oldest type; one statement.

    An account counts from its creation, so a new one is not stale at once. What its provider cannot sync is left out.
    """
    known = [
        (provider.code, syncer.type) for provider in providers() for syncer in list_syncers(provider.code)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            MEASURE_STALENESS,
            {
                "intervals": INTERVALS,
                # A success in the future is none: the clock has been set back since.
                "tolerance": TOLERANCE.total_seconds(),
                "providers": [provider for provider, _type in known],
                "types": [code for _provider, code in known],
                "accounts": account_ids,
            },
        )
        return [Staleness(*row) for row in cursor.fetchall()]


def list_stale_accounts() -> list[Staleness]:
    """Those of them that have not synced some type for three intervals: an alarm."""
    return sorted((one for one in freshness() if one.stale), key=lambda one: one.name)
