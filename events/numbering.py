"""Number the events of a tenant without gaps, and chain their digests.

A number that is given while its transaction still runs would leave a gap when that is rolled back, or would make all changes
of a tenant wait for each other. So events are numbered after their commit, by whoever needs the numbers next: a reader of
the feed, or the schedule `events.number`. A transaction that commits later gets a later number, whatever its time: a reader who
has read up to a number has missed nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from .models import Event, EventChain

BATCH = 500
# The columns that the digest covers: all of them but the id, which only orders events that have no number yet.
CHAINED = (
    "code",
    "actor_type",
    "actor_id",
    "actor_name",
    "token_name",
    "address",
    "request_id",
    "object_type",
    "object_id",
    "object_name",
    "parameters",
    "before",
    "after",
)


def number_events(tenant_id: UUID | None) -> int:
    """Number the events of a tenant (None: of the platform) that have no number; return the last number.

    Without new events it costs two statements. Safe against simultaneous calls: the row of the chain is locked before the
    events are read, so the second call finds those that the first has not numbered. Events of transactions that have not
    committed are not seen, and are numbered by a later call.
    """
    if not Event.objects.filter(tenant=tenant_id, number=None).exists():
        chain: EventChain | None = EventChain.objects.filter(tenant=tenant_id).first()
        return chain.last_number if chain else 0
    EventChain.objects.bulk_create([EventChain(tenant_id=tenant_id)], ignore_conflicts=True)
    while True:
        with transaction.atomic():
            chain = EventChain.objects.select_for_update().get(tenant=tenant_id)
            events = list(Event.objects.filter(tenant=tenant_id, number=None).order_by("id")[:BATCH])
            if events:
                _append(chain, events)
        if len(events) < BATCH:
            return int(chain.last_number)


def number_all_events() -> None:
    """Number the new events of every tenant, and of the platform."""
    waiting = Event.objects.filter(number=None).order_by().values_list("tenant", flat=True).distinct()
    for tenant_id in list(waiting):
        number_events(tenant_id)


def _append(chain: EventChain, events: list[Event]) -> None:
    for event in events:
        event.number = chain.last_number + 1
        event.digest = compute_digest(chain.last_digest, event)
        chain.last_number, chain.last_digest = event.number, event.digest
    with connection.cursor() as cursor:
        # One statement for all, which the ORM's bulk_update writes as a CASE of 500 branches.
        cursor.execute(
            "UPDATE events_event AS event SET number = numbered.number, digest = numbered.digest"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS numbered (id, number, digest)"
            " WHERE event.id = numbered.id",
            [
                [event.pk for event in events],
                [event.number for event in events],
                [event.digest for event in events],
            ],
        )
    chain.save(update_fields=["last_number", "last_digest"])


def compute_digest(before: str, event: Event) -> str:
    """Return the digest of an event, which includes that of the one before it."""
    values = {name: getattr(event, name) for name in CHAINED}
    values |= {"number": event.number, "at": event.at.astimezone(UTC).isoformat(timespec="microseconds")}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return sha256(f"{before}\n{text}".encode()).hexdigest()


def find_breaks(chain: EventChain, most: int = 100) -> Iterator[str]:
    """Yield what is wrong with a chain: an event that was changed, that is missing, or that was added. At most `most` of them.

    After a changed event the rest is verified from its stored digest, so that each change is told once.
    """
    number, digest = chain.removed_number, chain.removed_digest
    found: list[str] = []
    for event in _read_numbered(chain):
        if event.number != number + 1:
            found.append(f"events {number + 1} to {event.number - 1} are missing")
        elif event.digest != compute_digest(digest, event):
            found.append(f"event {event.number} was changed, or the one before it was replaced")
        number, digest = event.number, event.digest
        if len(found) >= most:
            break
    else:
        if number < chain.last_number:
            found.append(f"events {number + 1} to {chain.last_number} are missing")
        elif number > chain.last_number:
            found.append(f"events {chain.last_number + 1} to {number} were added")
        elif digest != chain.last_digest:
            found.append(f"the last event, {number}, was changed")
    yield from found[:most]


def _read_numbered(chain: EventChain) -> Iterator[Any]:
    """Read the numbered events of a chain in their order, a few at a time."""
    last = chain.removed_number
    events = Event.objects.filter(tenant=chain.tenant_id, number__isnull=False)
    # An event with a number that retention has removed was put back or renumbered.
    if added := events.filter(number__lte=last).order_by("number").first():
        yield added
    while batch := list(events.filter(number__gt=last).order_by("number")[:BATCH]):
        yield from batch
        last = batch[-1].number


def remove_numbered(chain: EventChain, events: Iterable[Event]) -> None:
    """Delete the oldest events of a chain, in the caller's transaction. `events` are in order and begin with the oldest."""
    removed = list(events)
    if not removed:
        return
    last = removed[-1]
    Event.objects.filter(tenant=chain.tenant_id, number__lte=last.number).delete()
    chain.removed_number, chain.removed_digest = last.number or 0, last.digest
    chain.save(update_fields=["removed_number", "removed_digest"])
