"""Deliver events to webhooks and subscribers: one run at a time, many receivers at once.

A run asks for the readers that are due, hands what they want to threads that do nothing but talk to receivers, and writes the
results itself. A slow receiver occupies one thread for a bounded time, and delays no other.

Safe against kills and suspensions: a result is written in one transaction together with the position, and only if the position
is still the one that was read. A message that was sent but not recorded is sent again under the same key; none is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now, Random

from events.models import EventChain
from events.numbering import number_all_events
from tasks import crash_points
from tasks.leases import Lease

from . import subscription_batches, webhook_batches
from .defaults import list_recent_members, subscribe_new_members
from .models import Delivery, DeliveryRun, Subscription, Webhook

log = structlog.get_logger(__name__)

# Where a test can kill a run (tasks/crash_points.py).
CRASH_POINTS = (
    "delivery_sent",  # receivers have got messages; nothing is recorded
    "delivery_recorded",  # the results and the new position of one reader are committed
)
THREADS = 32
# A run takes new work for so long. What is in flight then ends by its own limits.
RUN_SECONDS = 20.0
# New events are looked for so often within a run.
LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be sent for one reader: `send` runs in a thread without a database, `record` writes its result."""

    key: tuple[str, UUID]
    send: Callable[[], Any]
    record: Callable[[Any], None]


def deliver(seconds: float = RUN_SECONDS) -> int:
    """Deliver what is due, until nothing is or the time is over; return the number of batches. 0 if another run is on."""
    if not DeliveryRun.objects.filter(pk=1).exists():
        first = DeliveryRun(members_seen=list_recent_members())
        DeliveryRun.objects.bulk_create([first], ignore_conflicts=True)
    lease = Lease.acquire(DeliveryRun.objects.filter(pk=1))
    if lease is None:
        return 0
    with lease.kept_alive(), ThreadPoolExecutor(THREADS, thread_name_prefix="deliver") as threads:
        try:
            subscribe_new_members()
            return _run(threads, seconds)
        finally:
            lease.release()


def _run(threads: ThreadPoolExecutor, seconds: float) -> int:
    deadline = monotonic() + seconds
    running: dict[Future[Any], Batch] = {}
    count = 0
    while True:
        if monotonic() < deadline and len(running) < THREADS:
            busy = {batch.key for batch in running.values()}
            for batch in _prepare_batches(busy, THREADS - len(running)):
                running[threads.submit(batch.send)] = batch
                count += 1
        if not running:
            return count
        done, _ = wait(running, timeout=LOOK_EVERY_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            batch = running.pop(future)
            try:
                result = future.result()
                crash_points.crash_point("delivery_sent")
                batch.record(result)
                crash_points.crash_point("delivery_recorded")
            except Exception:
                # One odd reader does not end the run of the others; it is tried again in ten minutes.
                log.exception("delivery_failed", reader=str(batch.key[1]), kind=batch.key[0])
                _postpone(batch.key)


def _prepare_batches(busy: set[tuple[str, UUID]], most: int) -> Iterator[Batch]:
    """Yield the batches of readers that are due and not under way. Readers that want none of the new events are advanced."""
    number_all_events()
    count = 0
    for model, prepare in (
        (Webhook, webhook_batches.prepare),
        (Subscription, subscription_batches.prepare),
    ):
        kind = model._meta.model_name or ""  # noqa: SLF001 - Django's documented API.
        taken = [pk for name, pk in busy if name == kind]
        # All of them, because most of many may want none of the events, and those behind them must not wait for the next run.
        for reader in find_due(model).exclude(pk__in=taken):
            if count >= most:
                return
            key = (kind, reader.pk)
            try:
                prepared = prepare(reader)
            except Exception:
                log.exception("delivery_not_prepared", reader=str(reader.pk), kind=kind)
                _postpone(key)
                continue
            if prepared is not None:
                count += 1
                yield Batch(key, *prepared)


def find_due(model: type[Webhook | Subscription]) -> QuerySet[Any]:
    """Return the readers that have something to do now: new events, a test, or what is to be sent again.

    In any order, so that with more than a run can serve, none is always the last.
    """
    last = EventChain.objects.filter(tenant=OuterRef("tenant")).values("last_number")
    due = Q(due_at=None) | Q(due_at__lte=Now())
    found = due & Q(position__lt=Subquery(last)) & Q(active=True)
    found |= Q(test_requested_at__isnull=False)
    related = ["tenant"]
    if model is Webhook:
        queued = Delivery.objects.filter(webhook=OuterRef("pk"), status=Delivery.Status.QUEUED)
        found |= due & Q(Exists(queued))
    else:
        related.append("user")
    readers: QuerySet[Any] = model.objects.filter(found, tenant__active=True)
    return readers.select_related(*related).order_by(Random())


def _postpone(key: tuple[str, UUID]) -> None:
    """Try a reader whose batch raised an unexpected error again in a while."""
    model: Any = Webhook if key[0] == "webhook" else Subscription
    model.objects.filter(pk=key[1]).update(due_at=Now() + timedelta(minutes=10), test_requested_at=None)
