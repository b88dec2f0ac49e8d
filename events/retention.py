"""Remove events that are older than the retention. The chain of the rest can still be verified."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from .models import Event, EventChain
from .numbering import BATCH, remove_numbered


def remove_events(older_than: datetime) -> int:
    """Delete the events that happened before a time; return their number. Each batch is a transaction of its own.

    An event without a number stays until it has one. A chain loses its events from the oldest on, without a hole: a young
    event that was numbered before an old one keeps it.
    """
    count = 0
    for chain_id in list(EventChain.objects.order_by("id").values_list("id", flat=True)):
        while True:
            with transaction.atomic():
                chain = EventChain.objects.select_for_update().get(pk=chain_id)
                oldest = Event.objects.filter(tenant=chain.tenant_id, number__gt=chain.removed_number)
                events = list(oldest.order_by("number")[:BATCH])
                old = []
                for event in events:
                    if event.at >= older_than:
                        break
                    old.append(event)
                remove_numbered(chain, old)
            count += len(old)
            if len(old) < BATCH:
                break
    return count
