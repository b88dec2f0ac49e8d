"""Expiry of resources that complete listings did not show; a mass loss waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from ..queries import COUNT_LOST, COUNT_MISSED_LISTING, EXPIRE_MISSING
from .resource_writer import SyncTarget

# One lost object is no mass loss, whatever share of the whole it is.
NO_MASS_LOSS = 1


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """The numbers of resources that were present, are missing, have expired, or would have expired."""

    present: int
    missing: int
    expired: int
    held_back: int


def expire_unseen(
    place: SyncTarget, began: datetime, *, after: int, accepted: bool, log_id: int | None
) -> ExpiryResult:
    """Count a complete listing without the rows not seen since `began`; they expire after `after` such listings.

    When more than `RESOURCE_MASS_LOSS_SHARE` of all rows would expire, none does, unless the losses are `accepted`. They
    stay counted as missing, so that only a person's confirmation is needed. Call it in a transaction, under the run's claim.
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
            COUNT_MISSED_LISTING,
            values,
        )
        cursor.execute(
            COUNT_LOST,
            values,
        )
        present, missing, due = cursor.fetchone()
        if due > NO_MASS_LOSS and due > present * settings.RESOURCE_MASS_LOSS_SHARE and not accepted:
            return ExpiryResult(present, missing, expired=0, held_back=due)
        if due:
            cursor.execute(
                EXPIRE_MISSING,
                values,
            )
        return ExpiryResult(present, missing - due, expired=due, held_back=0)
