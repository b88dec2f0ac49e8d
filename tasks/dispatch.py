"""Dispatching: send a Celery message that makes a worker process a row that is due.

A message is only a notification with the key of the row. It is sent after the commit of the row, never before. A failure to
send it is only logged, because the sweep dispatches everything that is overdue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import structlog
from celery import current_app
from django.core.cache import cache
from django.db import transaction

from . import queries
from .models import IN_FLIGHT, Job

log = structlog.get_logger(__name__)

# A worker keeps delayed messages in its memory. The sweep dispatches jobs that are due later than this.
MAX_DELAY_SECONDS = 60.0
# A send over a connection that has ended fails within this time. The network was cut, or the broker has restarted; without a
# second attempt, the job would wait for the sweep, which dispatches again after 20 seconds.
ENDED_CONNECTION_SECONDS = 0.5
# The queue for woken jobs. Workers read their queues in turn, so a woken job does not wait behind a thousand jobs that
# were just submitted.
WOKEN_QUEUE = "polling"


def dispatch_job(job: Job, *, after: float = 0.0) -> None:
    """Send a message to advance a job, after the commit of the current transaction."""
    dispatch_jobs([(job.pk, job.queue)], after=after)


def dispatch_jobs(jobs: Iterable[queries.JobAddress], *, after: float = 0.0, woken: bool = False) -> None:
    """Send a message to advance each of the jobs, after the commit of the current transaction.

    A job is given by its id and by its command's own queue, "" for none.
    """
    if after > MAX_DELAY_SECONDS:
        return
    by_queue: dict[str, list[tuple[str]]] = {}
    for job_id, queue in jobs:
        by_queue.setdefault(queue, []).append((str(job_id),))
    for queue, calls in by_queue.items():
        target_queue = queue or (WOKEN_QUEUE if woken else None)
        transaction.on_commit(_build_sender("tasks.advance", calls, after, target_queue), robust=True)


def dispatch_poll(watcher: str, scope: str, *, after: float = 0.0) -> None:
    """Send a message to poll the watches of a scope, after the commit of the current transaction.

    A thousand jobs that begin to watch at once need one message, not a thousand: the scope's row stores the time for
    which a message was sent, and no other message is sent for about the same time. After that time, the stored value no
    longer counts, so a lost message does no harm.
    """
    seconds = min(after, MAX_DELAY_SECONDS)
    transaction.on_commit(lambda: _dispatch_poll_once(watcher, scope, seconds), robust=True)


def _dispatch_poll_once(watcher: str, scope: str, after: float) -> None:
    if queries.mark_poll_dispatched(watcher, scope, after=after):
        _send("tasks.poll", [(watcher, scope)], after)


def dispatch_task(task: str, *calls: Sequence[object]) -> None:
    """Send a message for each list of arguments of a room's Celery task, after the commit of the current transaction."""
    transaction.on_commit(lambda: _send(task, calls, 0.0), robust=True)


def dispatch_task_once(task: str, args: Sequence[object], *, within: float) -> None:
    """Run a Celery task once for all calls within a number of seconds, after the commit of the current transaction.

    The first call sends the message, delayed by that time, so the task sees the commits of the other callers. If the cache
    does not answer, every call sends a message.
    """
    key = f"dispatched:{task}:{','.join(map(str, args))}"

    def send() -> None:
        try:
            is_first = cache.add(key, 1, timeout=within)
        except Exception as error:  # noqa: BLE001 - the cache may fail in many ways; an additional message does no harm.
            log.warning("dispatch_not_shared", task=task, error=str(error))
            is_first = True
        if is_first:
            _send(task, [args], within)

    transaction.on_commit(send, robust=True)


def wake_jobs(job_ids: Sequence[UUID]) -> None:
    """Make waiting jobs due and dispatch them: their watch is decided, or they were cancelled.

    The rows of jobs that a worker owns are not changed.
    The rows are locked parents first, as in all code that locks several jobs, to prevent deadlocks.
    """
    # Messages are also sent for jobs that a worker owns, because it may be releasing them at this moment.
    dispatch_jobs(queries.wake_jobs(job_ids, sorted(IN_FLIGHT)), woken=True)


def _build_sender(
    task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None
) -> Callable[[], None]:
    """Return the function for `on_commit`. Not a `partial`, because Django logs the name of a function that fails."""

    def send() -> None:
        _send(task, calls, after, queue)

    return send


def _send(task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None = None) -> None:
    """Send messages over one connection, until one fails.

    A connection that has ended fails at once, and the message is sent once more over a new one. A broker that does not answer
    fails after a timeout, which a request does not wait for twice.
    """
    left = list(calls)
    for is_last_attempt in (False, True):
        began = time.monotonic()
        try:
            with current_app.producer_or_acquire() as producer:
                while left:
                    began = time.monotonic()
                    current_app.send_task(
                        task,
                        args=left[0],
                        countdown=after or None,
                        queue=queue,
                        ignore_result=True,
                        producer=producer,
                    )
                    del left[0]
        except Exception as error:  # noqa: BLE001 - the broker may fail in many ways; the sweep dispatches again.
            if is_last_attempt or time.monotonic() - began > ENDED_CONNECTION_SECONDS:
                log.warning("dispatch_failed", task=task, args=left[:3], count=len(left), error=str(error))
                return
        else:
            return
