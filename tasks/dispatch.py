"""Dispatching: telling a worker by a Celery message that a row is due.

A message is only a doorbell: it says which row to look at, and nothing else. It goes out after the commit of what it is
about, never before. A failure to send it is only logged, because the sweep dispatches everything again that should have moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import structlog
from celery import current_app
from django.core.cache import cache
from django.db import transaction

from . import queries
from .models import IN_FLIGHT, Job

log = structlog.get_logger(__name__)

# A message with a longer delay would sit in a worker's memory; the sweep dispatches what is due later.
LONGEST_DELAY_SECONDS = 60.0
# Workers take from their queues in turn. A job that is woken does not stand behind a thousand that have just been
# submitted: what the cloud has done is seen while more is still being requested of it.
WOKEN_QUEUE = "polling"


def dispatch_job(job: Job, *, after: float = 0.0) -> None:
    """Have `tasks.advance` advance a job, once the current transaction is committed."""
    dispatch_jobs([(job.pk, job.queue)], after=after)


def dispatch_jobs(jobs: Iterable[queries.JobAddress], *, after: float = 0.0, woken: bool = False) -> None:
    """Have `tasks.advance` advance each of some jobs, once the current transaction is committed.

    Each is its id and the queue that its command has, "" for none.
    """
    if after > LONGEST_DELAY_SECONDS:
        return
    by_queue: dict[str, list[tuple[str]]] = {}
    for job_id, queue in jobs:
        by_queue.setdefault(queue, []).append((str(job_id),))
    for queue, calls in by_queue.items():
        chosen = queue or (WOKEN_QUEUE if woken else None)
        transaction.on_commit(_sending("tasks.advance", calls, after, chosen), robust=True)


def dispatch_poll(watcher: str, scope: str, *, after: float = 0.0) -> None:
    """Have `tasks.poll` poll what is watched in a scope, once the current transaction is committed.

    A thousand jobs that begin to watch at once need one message, not a thousand: the scope's row remembers the time
    for which one was sent, and no other is sent for about the same time.
    A message that was sent and lost is forgotten as soon as its time has passed.
    """
    seconds = min(after, LONGEST_DELAY_SECONDS)
    transaction.on_commit(lambda: _dispatch_poll_once(watcher, scope, seconds), robust=True)


def _dispatch_poll_once(watcher: str, scope: str, after: float) -> None:
    if queries.mark_poll_dispatched(watcher, scope, after=after):
        _send("tasks.poll", [(watcher, scope)], after)


def dispatch_task(task: str, *calls: Sequence[object]) -> None:
    """Have a Celery task of a room run, once for each list of arguments, when the current transaction is committed."""
    transaction.on_commit(lambda: _send(task, calls, 0.0), robust=True)


def dispatch_task_once(task: str, args: Sequence[object], *, within: float) -> None:
    """Have a Celery task run once for all calls within a number of seconds, after the current transaction's commit.

    The first call's message goes out, and is due when the time is over: so the task sees what the other callers have
    committed. Without the cache every call sends one.
    """
    key = f"dispatched:{task}:{','.join(map(str, args))}"

    def send() -> None:
        try:
            first = cache.add(key, 1, timeout=within)
        except Exception as error:  # noqa: BLE001 - whatever ails the cache, a message too many does no harm.
            log.warning("dispatch_not_shared", task=task, error=str(error))
            first = True
        if first:
            _send(task, [args], within)

    transaction.on_commit(send, robust=True)


def wake_jobs(job_ids: Sequence[UUID]) -> None:
    """Have waiting jobs advanced now: what they wait for is decided, or they were cancelled.

    A job that a worker owns is left to that worker.
    The rows are locked parents first, as everywhere that locks several jobs; otherwise two transactions could wait for
    each other.
    """
    # Those that a worker owns, too: it may be releasing them at this moment.
    dispatch_jobs(queries.wake_jobs(job_ids, sorted(IN_FLIGHT)), woken=True)


def _sending(
    task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None
) -> Callable[[], None]:
    """Return the function for `on_commit`. No `partial`: Django logs the name of a function that fails, and a partial has none."""

    def send() -> None:
        _send(task, calls, after, queue)

    return send


def _send(task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None = None) -> None:
    """Send messages over one connection; the first that fails ends it, as the others would fail too."""
    try:
        with current_app.producer_or_acquire() as producer:
            for args in calls:
                current_app.send_task(
                    task,
                    args=args,
                    countdown=after or None,
                    queue=queue,
                    ignore_result=True,
                    producer=producer,
                )
    except Exception as error:  # noqa: BLE001 - whatever ails the broker, the sweep dispatches again.
        log.warning("dispatch_failed", task=task, args=calls[:3], count=len(calls), error=str(error))
