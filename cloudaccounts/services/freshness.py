"""Whose picture is too old."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from tasks.clock import TOLERANCE

from ..registry import providers, syncers_of

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
    known = [(provider.code, syncer.type) for provider in providers() for syncer in syncers_of(provider.code)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT ON (account.id) account.id, account.name, kind.code, last.ended_at,
                EXTRACT(EPOCH FROM statement_timestamp() - COALESCE(last.ended_at, account.created_at))::float AS age,
                EXTRACT(EPOCH FROM statement_timestamp() - GREATEST(last.ended_at, account.created_at))
                    NOT BETWEEN -%(tolerance)s AND %(intervals)s * 60 * account.sync_interval_minutes
            FROM cloudaccounts_cloudaccount AS account
            JOIN cloudaccounts_resourcetype AS kind ON kind.provider = account.provider AND (
                EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                        WHERE chosen.cloudaccount_id = account.id AND chosen.resourcetype_id = kind.id)
                OR NOT EXISTS (SELECT 1 FROM cloudaccounts_cloudaccount_resource_types AS chosen
                               WHERE chosen.cloudaccount_id = account.id))
            JOIN unnest(%(providers)s::text[], %(types)s::text[]) AS known(provider, type)
                ON known.provider = kind.provider AND known.type = kind.code
            LEFT JOIN LATERAL (
                SELECT ended_at FROM cloudaccounts_synclog AS log
                WHERE log.account_id = account.id AND log.type = kind.code AND log.state = 'success'
                ORDER BY log.id DESC LIMIT 1
            ) AS last ON true
            WHERE account.active AND account.sync_interval_minutes > 0
              AND (%(accounts)s::bigint[] IS NULL OR account.id = ANY(%(accounts)s))
            ORDER BY account.id, age DESC, kind.code
            """,
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


def stale_accounts() -> list[Staleness]:
    """Those of them that have not synced some type for three intervals: an alarm."""
    return sorted((one for one in freshness() if one.stale), key=lambda one: one.name)
