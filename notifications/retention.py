"""Remove deliveries that are older than the retention."""

from __future__ import annotations

from datetime import datetime

from .models import Delivery

BATCH = 5000


def remove_deliveries(older_than: datetime) -> int:
    """Delete the deliveries whose last attempt was before a time, except what is still under way; return their number."""
    ended = [Delivery.Status.DELIVERED, Delivery.Status.FAILED]
    count = 0
    while True:
        old = Delivery.objects.filter(attempted_at__lt=older_than, status__in=ended).order_by()
        batch = list(old.values_list("pk", flat=True)[:BATCH])
        Delivery.objects.filter(pk__in=batch).delete()
        count += len(batch)
        if len(batch) < BATCH:
            return count
