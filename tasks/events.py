"""The changes of a job as server-sent events, in one response that stays open.

Events: `job` (the job as `jobs/{id}/` shows it, at the start and after each change), `line` (a line of its log, with its
id, so that a reader that reconnects continues after the last line that it received), `end` (the last event).

The cost of a reader is bounded: a limited number of streams runs at once (`waiting.py`), each for at most
`JOB_EVENTS_SECONDS`; a reader without a slot gets the present state and has to reconnect.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import translation
from rest_framework.renderers import JSONRenderer

from api.event_streams import (
    CHECK_EVERY_SECONDS,
    HEARTBEAT,
    HEARTBEAT_SECONDS,
    begin_stream,
    event_stream_response,
    read_last_event_id,
)
from api.replica.positions import remember_position
from tenants.response_access import ResponseAccess

from . import queries
from .models import ENDED, Job, JobLogLine
from .serializers import JobLogLineSerializer, JobSerializer
from .waiting import waiting_slot

POLL_EVERY_SECONDS = 0.3
LINES_PER_QUERY = 100


def event_stream(request: HttpRequest, job: Job, access: ResponseAccess) -> StreamingHttpResponse:
    """Return the response with the stream of a job's events.

    It ends without an event when the reader loses access.
    """
    reader = _Reader(
        job_id=job.pk,
        tenant_id=job.tenant_id,
        after_line=read_last_event_id(request),
        # The events are sent after the middleware has reset the language.
        language=translation.get_language() or settings.LANGUAGE_CODE,
        access=access,
    )
    return event_stream_response(_stream_events(reader, request))


@dataclass
class _Reader:
    """A reader of the stream, and the last state that was sent to it."""

    job_id: UUID
    tenant_id: UUID | None
    after_line: int
    language: str
    access: ResponseAccess
    last_versions: tuple[Any, ...] | None = None
    last_job: bytes = b""

    def can_read(self) -> bool:
        """Return whether the reader may still see the job. Costs a few small queries."""
        scope = self.access.get_scope()
        return scope is not None and Job.objects.within(scope).filter(pk=self.job_id).exists()

    def pending_events(self, versions: tuple[Any, ...]) -> Iterator[bytes]:
        """Yield the events that the reader has not been sent yet."""
        if versions == self.last_versions:
            return
        self.last_versions = versions
        lines: Any = [None] * LINES_PER_QUERY
        while len(lines) == LINES_PER_QUERY:
            with translation.override(self.language):
                lines = _render_log_lines(self.job_id, self.after_line)
            for line in lines:
                self.after_line = line["id"]
                yield _format_event("line", line, event_id=self.after_line)
        with translation.override(self.language):
            job = _render_job(self.job_id)
        if job != self.last_job:
            self.last_job = job
            # A reader that lists something after an event sees at least what the event has told.
            remember_position(self.access.user_id)
            yield b"event: job\ndata: " + job + b"\n\n"


def _stream_events(reader: _Reader, request: HttpRequest) -> Iterator[bytes]:
    """Yield the events of a job until it has ended or the time is over, beginning with its present state."""
    with waiting_slot(reader.tenant_id) as may_wait:
        yield begin_stream(request, has_slot=may_wait)
        deadline = last_write_at = last_check_at = time.monotonic()
        if may_wait:
            deadline += settings.JOB_EVENTS_SECONDS
        while (
            versions := queries.fetch_job_versions(reader.job_id)
        ) is not None:  # None: the job was pruned.
            if time.monotonic() - last_check_at > CHECK_EVERY_SECONDS:
                if not reader.can_read():
                    return
                last_check_at = time.monotonic()
            for event in reader.pending_events(versions):
                yield event
                last_write_at = time.monotonic()
            if versions[0] in ENDED:
                yield _format_event("end", {"status": versions[0]})
                return
            if time.monotonic() >= deadline:
                return
            if time.monotonic() - last_write_at > HEARTBEAT_SECONDS:
                yield HEARTBEAT
                last_write_at = time.monotonic()
            time.sleep(POLL_EVERY_SECONDS)


def _render_job(job_id: UUID) -> bytes:
    job = Job.objects.for_display().get(pk=job_id)
    return JSONRenderer().render(JobSerializer(job).data)


def _render_log_lines(job_id: UUID, after: int) -> Any:
    lines = JobLogLine.objects.filter(job_id=job_id, pk__gt=after).order_by("pk")[:LINES_PER_QUERY]
    return JobLogLineSerializer(lines, many=True).data


def _format_event(name: str, data: Any, *, event_id: int | None = None) -> bytes:
    head = f"event: {name}\n" if event_id is None else f"id: {event_id}\nevent: {name}\n"
    return head.encode() + b"data: " + JSONRenderer().render(data) + b"\n\n"
