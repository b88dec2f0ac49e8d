"""Ringing: telling a worker that a row is worth a look.

A ring goes out after the commit of what it speaks of, never before.
One that fails is only logged, because the sweep rings again for everything that should have moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import structlog
from celery import current_app
from django.core.cache import cache
from django.db import connection, transaction

from .models import IN_FLIGHT, Job

log = structlog.get_logger(__name__)

# A message with a longer delay would sit in a worker's memory; the sweep rings for what is due later.
LONGEST_DELAY_SECONDS = 60.0
# Workers take from their queues in turn. A job that is woken does not stand behind a thousand that have just been asked
# for: what the cloud has done is seen while more is still being asked of it.
WOKEN_QUEUE = "polling"


def dispatch_job(job: Job, *, after: float = 0.0) -> None:
    """Have `tasks.advance` look at a job, once the current transaction is committed."""
    dispatch_jobs([(job.pk, job.queue)], after=after)


def dispatch_jobs(jobs: Iterable[tuple[UUID, str]], *, after: float = 0.0, woken: bool = False) -> None:
    """Have `tasks.advance` look at each of some jobs, once the current transaction is committed.

    Each is its id and the queue of its own that it has, "" for none.
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
    """Have `tasks.poll` look at what is watched in a scope, once the current transaction is committed.

    A thousand jobs that begin to watch at once need one ring, not a thousand: the scope's row remembers the time
    for which somebody has rung, and a later wish for about the same time is content with that.
    A ring that was sent and lost is forgotten as soon as its time has passed.
    """
    seconds = min(after, LONGEST_DELAY_SECONDS)
    transaction.on_commit(lambda: _dispatch_poll_once(watcher, scope, seconds), robust=True)


def _dispatch_poll_once(watcher: str, scope: str, after: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tasks_pollscope AS p (watcher, scope, owner, failures, rung_for)"
            " VALUES (%(watcher)s, %(scope)s, '', 0, statement_timestamp() + make_interval(secs => %(after)s))"
            " ON CONFLICT (watcher, scope) DO UPDATE SET rung_for = EXCLUDED.rung_for"
            " WHERE p.rung_for IS NULL OR p.rung_for < statement_timestamp()"
            " OR p.rung_for > EXCLUDED.rung_for + interval '50 milliseconds' RETURNING 1",
            {"watcher": watcher, "scope": scope, "after": after},
        )
        wanted = cursor.fetchone() is not None
    if wanted:
        _send("tasks.poll", [(watcher, scope)], after)


def dispatch_task(task: str, *calls: Sequence[object]) -> None:
    """Have a Celery task of a room run, once for each list of arguments, when the current transaction is committed."""
    transaction.on_commit(lambda: _send(task, calls, 0.0), robust=True)


def dispatch_task_once(task: str, args: Sequence[object], *, within: float) -> None:
    """Have a Celery task run once for all who ask for it within so many seconds, after the current transaction's commit.

    The first one's message goes out, and is due when the time is over: so it sees what the others have committed, who
    found that somebody had rung. Without the cache everybody rings.
    """
    key = f"rung:{task}:{','.join(map(str, args))}"

    def send() -> None:
        try:
            first = cache.add(key, 1, timeout=within)
        except Exception as error:  # noqa: BLE001 - whatever ails the cache, a ring too many does no harm.
            log.warning("ring_not_shared", task=task, error=str(error))
            first = True
        if first:
            _send(task, [args], within)

    transaction.on_commit(send, robust=True)


def wake_jobs(job_ids: Sequence[UUID]) -> None:
    """Have waiting jobs looked at now: what they wait for is decided, or somebody cancelled them.

    A job that a worker owns is left to that worker.
    The rows are locked parents first, as whoever locks several jobs does; otherwise two of them could wait for each
    other.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH woken AS (
                UPDATE tasks_job SET not_before = statement_timestamp() WHERE id IN (
                    SELECT id FROM tasks_job WHERE id = ANY(%(ids)s) AND owner = '' AND status = ANY(%(in_flight)s)
                    ORDER BY created_at, position FOR UPDATE)
            ) SELECT id, queue FROM tasks_job WHERE id = ANY(%(ids)s)
            """,
            {"ids": list(job_ids), "in_flight": sorted(IN_FLIGHT)},
        )
        # Those that a worker owns, too: it may be giving them back at this moment.
        dispatch_jobs(cursor.fetchall(), woken=True)


def _sending(
    task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None
) -> Callable[[], None]:
    """What `on_commit` calls. No `partial`: Django logs the name of a function that fails, and a partial has none."""

    def send() -> None:
        _send(task, calls, after, queue)

    return send


def _send(task: str, calls: Sequence[Sequence[object]], after: float, queue: str | None = None) -> None:
    """Send so many messages over one connection; the first that fails ends it, as the others would fail too."""
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
    except Exception as error:  # noqa: BLE001 - whatever ails the broker, the sweep rings again.
        log.warning("ring_failed", task=task, args=calls[:3], count=len(calls), error=str(error))
