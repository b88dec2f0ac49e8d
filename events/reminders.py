"""Events that tell people in time that something ends: once for each object, end and number of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from .models import Event

# So many days before its end, an object is announced.
DAYS_BEFORE = (7, 1)
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Reminder:
    """An object that ends on `end`, a date as text, within `days`. `more` goes into the event's parameters as well."""

    tenant_id: UUID | None
    object_type: str
    object_id: str
    object_name: str
    end: str
    days: int
    more: dict[str, str] = field(default_factory=dict)


def record_reminders(code: str, reminders: Sequence[Reminder], now: datetime) -> int:
    """Record the events of those that were not recorded in the last thirty days; return their number.

    Safe to repeat, but not for two at once, which would tell twice.
    """
    count = 0
    for start in range(0, len(reminders), BATCH):
        batch = reminders[start : start + BATCH]
        earlier = Event.objects.filter(
            code=code, at__gte=now - timedelta(days=30), object_id__in=[one.object_id for one in batch]
        )
        recorded = {
            (event.object_id, event.parameters.get("end"), event.parameters.get("days")) for event in earlier
        }
        events = [
            Event(
                code=code,
                tenant_id=one.tenant_id,
                object_type=one.object_type,
                object_id=one.object_id,
                object_name=one.object_name[:300],
                parameters={"end": one.end, "days": one.days, **one.more},
            )
            for one in batch
            if (one.object_id, one.end, one.days) not in recorded
        ]
        Event.objects.bulk_create(events)
        count += len(events)
    return count
