"""Server-sent events: a response that stays open, and what limits it.

A stream holds a thread of the web process, so the caller bounds how many there are and how long each lasts
(`tasks/waiting.py`). The next write detects a reader that has disconnected, at the latest after `HEARTBEAT_SECONDS`; a reader
that does not read is disconnected when a write takes longer than `WRITE_TIMEOUT_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import socket

from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

HEARTBEAT = b": still here\n\n"
HEARTBEAT_SECONDS = 5.0
# A reader that loses its role, token or session is disconnected after this time.
CHECK_EVERY_SECONDS = 2.0
WRITE_TIMEOUT_SECONDS = 10.0
RECONNECT_MILLISECONDS = 1000
RECONNECT_WHEN_FULL_MILLISECONDS = 5000


class EventStreamRenderer(JSONRenderer):
    """Allows the media type `text/event-stream`. Errors are rendered as JSON."""

    media_type = "text/event-stream"
    format = "event-stream"


def event_stream_response(events: Iterable[bytes]) -> StreamingHttpResponse:
    """Return the response with the events. No proxy may buffer them (X-Accel-Buffering is nginx's header for that)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(events, content_type="text/event-stream", headers=headers)


def begin_stream(request: HttpRequest | Request, *, has_slot: bool) -> bytes:
    """Limit the time of a write, and return the first lines: after how long a reader reconnects, longer without a slot."""
    connection_to_reader: socket | None = request.META.get("gunicorn.socket")
    if connection_to_reader is not None:
        connection_to_reader.settimeout(WRITE_TIMEOUT_SECONDS)
    retry = RECONNECT_MILLISECONDS if has_slot else RECONNECT_WHEN_FULL_MILLISECONDS
    return f"retry: {retry}\n\n".encode()


def read_last_event_id(request: HttpRequest | Request) -> int:
    """Return the id of the last event that the reader has received, 0 without one. Browsers send it when they reconnect."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
