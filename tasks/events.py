"""A job's life as server-sent events: what changed is sent as it changes, over one answer that stays open.

Events: `job` (the job as `jobs/{id}/` shows it, at first and whenever it changes), `line` (a line of its log, with its
id, so that a reader who comes back goes on after the last one he saw), `end` (no more will come).

What a reader can cost: a stream holds a thread of the web process, so only so many run at once (`waiting.py`), each for
so long (`JOB_EVENTS_SECONDS`); who finds no place gets what there is now, and comes back for more. A reader who vanished
is noticed by the next write, at the latest after `SIGN_OF_LIFE_SECONDS`; one who does not read is cut off when a write
takes longer than `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from socket import socket
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import translation
from rest_framework.renderers import JSONRenderer

from tenants.response_access import OpenAnswer

from .models import ENDED, Job, JobLogLine
from .serializers import JobLogLineSerializer, JobSerializer
from .waiting import a_thread_to_wait_in

LOOK_EVERY_SECONDS = 0.3
SIGN_OF_LIFE_SECONDS = 5.0
# Whoever loses a role, a token or a session meanwhile reads on no longer than this.
CHECK_EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 10.0
COME_BACK_AFTER_MILLISECONDS = 1000
COME_BACK_WHEN_FULL_MILLISECONDS = 5000
LINES_AT_ONCE = 100

# One small statement a look: the versions of the rows that an answer is made of. What is behind them is read only when
# one of them has changed.
VERSIONS = """
SELECT job.status, job.xmin::text,
    (SELECT string_agg(step.xmin::text, ',' ORDER BY position) FROM tasks_step AS step WHERE job_id = job.id),
    (SELECT max(id) FROM tasks_joblogline WHERE job_id = job.id)
FROM tasks_job AS job WHERE id = %s
"""


def event_stream(request: HttpRequest, job: Job, opened: OpenAnswer) -> StreamingHttpResponse:
    """The answer to who follows a job that he may see: a browser by its session, a program by its token.

    It ends, without an event, when that is no longer so.
    """
    last = request.headers.get("Last-Event-ID", "")
    reader = _Reader(
        job_id=job.pk,
        tenant_id=job.tenant_id,
        after_line=int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0,
        # The middleware that has set the language is through when the events are sent.
        language=translation.get_language() or settings.LANGUAGE_CODE,
        opened=opened,
    )
    return StreamingHttpResponse(
        _events(reader, request.META.get("gunicorn.socket")),
        content_type="text/event-stream",
        # No proxy may collect what is to be seen at once (X-Accel-Buffering is nginx's word for it).
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@dataclass
class _Reader:
    """What one reader has been told."""

    job_id: UUID
    tenant_id: UUID | None
    after_line: int
    language: str
    opened: OpenAnswer
    versions: tuple[Any, ...] | None = None
    shown: bytes = b""

    def may_read(self) -> bool:
        """Whether the job may still be shown: a few small queries."""
        scope = self.opened.scope()
        return scope is not None and Job.objects.within(scope).filter(pk=self.job_id).exists()

    def news(self, versions: tuple[Any, ...]) -> Iterator[bytes]:
        """The events that bring the reader up to date."""
        if versions == self.versions:
            return
        self.versions = versions
        lines: Any = [None] * LINES_AT_ONCE
        while len(lines) == LINES_AT_ONCE:
            with translation.override(self.language):
                lines = _lines(self.job_id, self.after_line)
            for line in lines:
                self.after_line = line["id"]
                yield _event("line", line, event_id=self.after_line)
        with translation.override(self.language):
            job = _job(self.job_id)
        if job != self.shown:
            self.shown = job
            yield b"event: job\ndata: " + job + b"\n\n"


def _events(reader: _Reader, connection_to_reader: socket | None) -> Iterator[bytes]:
    """The events of a job, until it has ended or the time is over. Begins with the job as it is."""
    with a_thread_to_wait_in(reader.tenant_id) as may_wait:
        if connection_to_reader is not None:
            connection_to_reader.settimeout(PATIENCE_SECONDS)
        retry = COME_BACK_AFTER_MILLISECONDS if may_wait else COME_BACK_WHEN_FULL_MILLISECONDS
        yield f"retry: {retry}\n\n".encode()
        until = written = checked = time.monotonic()
        if may_wait:
            until += settings.JOB_EVENTS_SECONDS
        while (versions := _versions(reader.job_id)) is not None:  # None: it was pruned.
            if time.monotonic() - checked > CHECK_EVERY_SECONDS:
                if not reader.may_read():
                    return
                checked = time.monotonic()
            for event in reader.news(versions):
                yield event
                written = time.monotonic()
            if versions[0] in ENDED:
                yield _event("end", {"status": versions[0]})
                return
            if time.monotonic() >= until:
                return
            if time.monotonic() - written > SIGN_OF_LIFE_SECONDS:
                yield b": still here\n\n"
                written = time.monotonic()
            time.sleep(LOOK_EVERY_SECONDS)


def _versions(job_id: UUID) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(VERSIONS, [job_id])
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def _job(job_id: UUID) -> bytes:
    job = Job.objects.shown().get(pk=job_id)
    return JSONRenderer().render(JobSerializer(job).data)


def _lines(job_id: UUID, after: int) -> Any:
    lines = JobLogLine.objects.filter(job_id=job_id, pk__gt=after).order_by("pk")[:LINES_AT_ONCE]
    return JobLogLineSerializer(lines, many=True).data


def _event(name: str, data: Any, *, event_id: int | None = None) -> bytes:
    head = f"event: {name}\n" if event_id is None else f"id: {event_id}\nevent: {name}\n"
    return head.encode() + b"data: " + JSONRenderer().render(data) + b"\n\n"
