"""Events that tell in time that a prepaid resource of a vendor ends, unless somebody renews it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from events.models import Event

from ..models import CloudResource

# So many days before its end, a resource is announced.
DAYS_BEFORE = (7, 1)
CODE = "cloud_resource.ends_soon"
BATCH = 1000


def record_paid_ends(now: datetime | None = None) -> int:
    """Record an event for each prepaid resource that ends within seven days or within one, once for each; return their number.

    Safe to run every hour; two runs at once would tell twice. What was recorded for a resource, an end and a
    number of days is not recorded again. It goes to the tenant of the account, or to the platform for a shared one.
    """
    now = now or timezone.now()
    ending = (
        CloudResource.objects.present()
        .filter(
            paid_until__gt=now, paid_until__lte=now + timedelta(days=max(DAYS_BEFORE)), account__active=True
        )
        .order_by("pk")
        .values_list("pk", "name", "cloud_id", "paid_until", "account__name", "account__tenant")
    )
    rows = list(ending)
    count = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        earlier = Event.objects.filter(
            code=CODE, at__gte=now - timedelta(days=30), object_id__in=[str(row[0]) for row in batch]
        )
        recorded = {
            (event.object_id, event.parameters.get("end"), event.parameters.get("days")) for event in earlier
        }
        events = []
        for pk, name, cloud_id, paid_until, account, tenant in batch:
            days = next(days for days in sorted(DAYS_BEFORE) if paid_until - now <= timedelta(days=days))
            end = f"{paid_until:%Y-%m-%d}"
            if (str(pk), end, days) not in recorded:
                events.append(
                    Event(
                        code=CODE,
                        tenant_id=tenant,
                        object_type="cloud_resource",
                        object_id=str(pk),
                        object_name=(name or cloud_id)[:300],
                        parameters={"end": end, "days": days, "account": account},
                    )
                )
        Event.objects.bulk_create(events)
        count += len(events)
    return count
