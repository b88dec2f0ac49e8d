"""Expiry of resources that complete listings did not show; a mass loss waits for a person's confirmation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from ..queries import COUNT_LOST, COUNT_MISSED_LISTING, EXPIRE_MISSING
from .resource_writer import SyncTarget

# The loss of one object needs no confirmation, whatever its share of all objects.
MAX_UNCONFIRMED_LOSS = 1


@dataclass(frozen=True, slots=True)
class ExpiryResult:
    """The numbers of resources that were present, are missing, have expired, or would have expired."""

    present: int
    missing: int
    expired: int
    held_back: int


def expire_unseen(
    target: SyncTarget, began: datetime, *, after: int, accepted: bool, log_id: int | None
) -> ExpiryResult:
    """Count a complete listing for the rows that were not seen since `began`; they expire after `after` such listings.

    When more than `RESOURCE_MASS_LOSS_SHARE` of all rows would expire, none does, unless the losses are `accepted`. The
    counts stay, so a confirmation expires them at once. Call it in a transaction, under the run's claim.
    """
    params: dict[str, str | int | datetime | None] = {
        "account": target[0],
        "region": target[1],
        "type": target[2],
        "began": began,
        "after": after,
        "log": log_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(
            COUNT_MISSED_LISTING,
            params,
        )
        cursor.execute(
            COUNT_LOST,
            params,
        )
        present, missing, due = cursor.fetchone()
        if due > MAX_UNCONFIRMED_LOSS and due > present * settings.RESOURCE_MASS_LOSS_SHARE and not accepted:
            return ExpiryResult(present, missing, expired=0, held_back=due)
        if due:
            cursor.execute(
                EXPIRE_MISSING,
                params,
            )
        return ExpiryResult(present, missing - due, expired=due, held_back=0)
