"""Events that tell in time that a prepaid resource of a vendor ends, unless somebody renews it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from events.reminders import DAYS_BEFORE, Reminder, record_reminders

from ..models import CloudResource


def record_paid_ends(now: datetime | None = None) -> int:
    """Record an event for each prepaid resource that ends within seven days or within one, once for each; return their number.

    It goes to the tenant of the account, or to the platform for a shared one. Safe to run every hour.
    """
    now = now or timezone.now()
    ending = CloudResource.objects.present().filter(
        paid_until__gt=now, paid_until__lte=now + timedelta(days=max(DAYS_BEFORE)), account__active=True
    )
    reminders = [
        Reminder(
            tenant,
            "cloud_resource",
            str(pk),
            name or cloud_id,
            f"{paid_until:%Y-%m-%d}",
            next(days for days in sorted(DAYS_BEFORE) if paid_until - now <= timedelta(days=days)),
            {"account": account},
        )
        for pk, name, cloud_id, paid_until, account, tenant in ending.order_by("pk").values_list(
            "pk", "name", "cloud_id", "paid_until", "account__name", "account__tenant"
        )
    ]
    return record_reminders("cloud_resource.ends_soon", reminders, now)
