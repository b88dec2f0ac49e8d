"""What a complete listing did not show: missing first, expired when it stays so, and never en masse without a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from ..queries import COUNT_LOST, COUNT_MISSED_LISTING, EXPIRE_MISSING
from .resource_writer import SyncTarget

# One lost object is no mass loss, whatever share of the whole it is.
FEW = 1


@dataclass(frozen=True, slots=True)
class Lost:
    """What came of it: how many were there, are newly or still missing, have expired, or would have."""

    present: int
    missing: int
    expired: int
    held_back: int


def expire_unseen(
    place: SyncTarget, began: datetime, *, after: int, accepted: bool, log_id: int | None
) -> Lost:
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
            COUNT_MISSED_LISTING,
            values,
        )
        cursor.execute(
            COUNT_LOST,
            values,
        )
        present, missing, due = cursor.fetchone()
        if due > FEW and due > present * settings.RESOURCE_MASS_LOSS_SHARE and not accepted:
            return Lost(present, missing, expired=0, held_back=due)
        if due:
            cursor.execute(
                EXPIRE_MISSING,
                values,
            )
        return Lost(present, missing - due, expired=due, held_back=0)
