"""The feed: the events of a tenant in the order of their numbers, from any number on, also as a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

from django.conf import settings
from django.http import StreamingHttpResponse
from django.utils import translation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from api.event_streams import (
    CHECK_EVERY_SECONDS,
    HEARTBEAT,
    HEARTBEAT_SECONDS,
    begin_stream,
    event_stream_response,
)
from tasks.waiting import waiting_slot
from tenants.response_access import ResponseAccess

from .access import may_read_events
from .models import Event
from .numbering import number_events
from .serializers import EventSerializer

POLL_EVERY_SECONDS = 1.0
EVENTS_PER_QUERY = 200


def read_feed(tenant_id: UUID | None, after: int, limit: int) -> tuple[list[Event], int]:
    """Return the events after a number, and the last number that there is. New events are numbered first."""
    last = number_events(tenant_id)
    if after >= last:
        return [], last
    events = Event.objects.filter(tenant=tenant_id, number__gt=after).order_by("number")
    return list(events[:limit]), last


def stream_feed(
    request: Request, tenant_id: UUID | None, after: int, access: ResponseAccess
) -> StreamingHttpResponse:
    """Return the events after a number as server-sent events, and those that happen while the reader is connected.

    The id of each is its number, so a browser that reconnects goes on where it stopped. The number of readers is bounded as
    that of the streams of jobs is (`tasks/events.py`); a reader without a slot gets what there is, and reconnects.
    """
    language = translation.get_language() or settings.LANGUAGE_CODE
    return event_stream_response(_stream(request, tenant_id, after, access, language))


def _stream(
    request: Request, tenant_id: UUID | None, after: int, access: ResponseAccess, language: str
) -> Iterator[bytes]:
    with waiting_slot(tenant_id) as may_wait:
        yield begin_stream(request, has_slot=may_wait)
        began = last_write_at = last_check_at = time.monotonic()
        deadline = began + (settings.JOB_EVENTS_SECONDS if may_wait else 0)
        while True:
            if time.monotonic() - last_check_at > CHECK_EVERY_SECONDS:
                scope = access.get_scope()
                if scope is None or not may_read_events(scope):
                    return
                last_check_at = time.monotonic()
            events, last = read_feed(tenant_id, after, EVENTS_PER_QUERY)
            for event in events:
                yield _format(event, language)
                after, last_write_at = event.number or after, time.monotonic()
            if after < last and events:
                continue  # There is more to read already.
            if time.monotonic() >= deadline:
                return
            if time.monotonic() - last_write_at > HEARTBEAT_SECONDS:
                yield HEARTBEAT
                last_write_at = time.monotonic()
            time.sleep(POLL_EVERY_SECONDS)


def _format(event: Event, language: str) -> bytes:
    # The middleware has reset the language by now.
    with translation.override(language):
        data: bytes = JSONRenderer().render(EventSerializer(event).data)
    return f"id: {event.number}\nevent: {event.code}\ndata: ".encode() + data + b"\n\n"
