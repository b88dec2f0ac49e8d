"""The events that a reader wants next, and the position that it has when it has got them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from events.models import Event, EventChain

from .models import Subscription, Webhook, match_codes

# So many events are looked through at a time, of which a reader may want none.
SCANNED_EVENTS = 500
# What is to be sent for a reader: a function for a thread without a database, and one that records its result.
Prepared = tuple[Callable[[], Any], Callable[[Any], None]]


@dataclass(frozen=True, slots=True)
class Window:
    """The events that a reader wants out of those up to `end`, the position after them."""

    events: Sequence[Event]
    end: int


def read_window(reader: Webhook | Subscription, wanted: QuerySet[Any], most: int) -> Window:
    """Return the next events of a reader, at most `most`, out of the `wanted` ones that fit its patterns.

    Without any, the position of the reader is advanced here, so that they are not looked through again.
    """
    last, begin = find_last_number(reader), reader.position
    wanted = wanted.filter(match_codes(reader.codes), tenant=reader.tenant_id).order_by("number")
    while True:
        end = min(begin + SCANNED_EVENTS, last)
        found: list[Event] = list(wanted.filter(number__gt=begin, number__lte=end)[:most])
        if found or end >= last:
            break
        begin = end
    if len(found) == most:
        end = found[-1].number or end
    if not found and end > reader.position:
        type(reader).objects.filter(pk=reader.pk, position=reader.position).update(position=end)
    return Window(found, end)


def find_last_number(reader: Webhook | Subscription) -> int:
    """Return the number of the newest event of a reader's tenant."""
    chain: EventChain | None = EventChain.objects.filter(tenant=reader.tenant_id).first()
    return chain.last_number if chain else 0
