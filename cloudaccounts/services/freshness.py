"""Staleness of accounts: the time since each type was last synced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from tasks.clock import TOLERANCE

from ..queries import MEASURE_STALENESS
from ..registry import list_providers, list_syncers

# An account is stale after this many intervals without a success.
STALE_AFTER_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Staleness:
    """An account with a schedule, and its type whose last success is the oldest; `synced_at` is None without one."""

    account_id: int
    name: str
    type: str
    synced_at: datetime | None
    seconds: float
    stale: bool


def measure_staleness(account_ids: list[int] | None = None) -> list[Staleness]:
    """Measure the staleness of every active account with a schedule, by its oldest type; one statement.

    The time counts from the account's creation, so that a new one is not stale. Types without a syncer are left out.
    """
    known = [
        (provider.code, syncer.type)
        for provider in list_providers()
        for syncer in list_syncers(provider.code)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            MEASURE_STALENESS,
            {
                "intervals": STALE_AFTER_INTERVALS,
                # A success in the future does not count: the clock has been set back since.
                "tolerance": TOLERANCE.total_seconds(),
                "providers": [provider for provider, _type in known],
                "types": [code for _provider, code in known],
                "accounts": account_ids,
            },
        )
        return [Staleness(*row) for row in cursor.fetchall()]


def list_stale_accounts() -> list[Staleness]:
    """List the accounts that have not synced some type for three intervals: an alarm."""
    return sorted(
        (account for account in measure_staleness() if account.stale), key=lambda account: account.name
    )
