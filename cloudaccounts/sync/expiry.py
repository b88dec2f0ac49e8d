"""What a complete listing did not show: missing first, expired when it stays so, and never en masse without a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from .resource_writer import Place

# One lost object is no mass loss, whatever share of the whole it is.
FEW = 1


@dataclass(frozen=True, slots=True)
class Lost:
    """What came of it: how many were there, are newly or still missing, have expired, or would have."""

    present: int
    missing: int
    expired: int
    held_back: int


def expire_unseen(place: Place, began: datetime, *, after: int, accepted: bool, log_id: int | None) -> Lost:
    """Count another complete listing without them for rows not seen since `began`; those without it for `after` expire.

    When that would be more than `RESOURCE_MASS_LOSS_SHARE` of all that are there, none expires, unless the losses are
    `accepted`. They stay counted as missing, so a person's word is all that is still needed.
    Call it in a transaction, under the run's claim.
    """
    values: dict[str, str | int | datetime | None] = {
        "account": place[0],
        "region": place[1],
        "type": place[2],
        "began": began,
        "after": after,
        "log": log_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE cloudaccounts_cloudresource SET missing_count = LEAST(missing_count + 1, 1000)
            WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
              AND expired_at IS NULL AND last_seen_at < %(began)s
            """,
            values,
        )
        cursor.execute(
            """
            SELECT count(*), count(*) FILTER (WHERE missing_count > 0), count(*) FILTER (WHERE missing_count >= %(after)s)
            FROM cloudaccounts_cloudresource
            WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s AND expired_at IS NULL
            """,
            values,
        )
        present, missing, due = cursor.fetchone()
        if due > FEW and due > present * settings.RESOURCE_MASS_LOSS_SHARE and not accepted:
            return Lost(present, missing, expired=0, held_back=due)
        if due:
            cursor.execute(
                """
                WITH gone AS (
                    UPDATE cloudaccounts_cloudresource
                    SET expired_at = statement_timestamp(), changed_at = statement_timestamp()
                    WHERE account_id = %(account)s AND region = %(region)s AND type = %(type)s
                      AND expired_at IS NULL AND missing_count >= %(after)s AND last_seen_at < %(began)s
                    RETURNING id
                )
                INSERT INTO cloudaccounts_resourcechange (resource_id, log_id, at, fields)
                SELECT id, %(log)s, statement_timestamp(), '{"expired": [false, true]}' FROM gone
                """,
                values,
            )
        return Lost(present, missing - due, expired=due, held_back=0)
