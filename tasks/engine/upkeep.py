"""What happens to jobs from outside of a worker: cancelling, ringing again, forgetting."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from .. import crash_points
from ..dispatch import dispatch_jobs, dispatch_poll, wake_jobs
from ..models import IN_FLIGHT, AsyncTask, Job
from .clock_repair import repair_now_and_then
from .tree import CANCELLABLE, cancel_below

# What should have moved this long ago was not rung for, or its ring was lost.
OVERDUE = timedelta(seconds=3)
RING_AGAIN_AFTER = timedelta(seconds=20)
SWEEP_AT_MOST = 1000


def cancel(job: Job) -> bool:
    """Ask a job, and all below it, to stop at its next step boundary and to undo what it did; whether it can hear that.

    Compare-and-set on the row, so a job that ends at the same moment simply ends.
    A child alone is not cancelled: its parent could not succeed any more, and nobody would have asked for that.
    """
    with transaction.atomic():
        crash_points.crash_point_on_commit("cancelled")
        heard = Job.objects.filter(
            pk=job.pk, parent=None, status__in=CANCELLABLE, cancel_requested_at=None
        ).update(cancel_requested_at=Now())
        if heard:
            cancel_below(job.pk)
            wake_jobs([job.pk])
    return bool(heard)


def sweep() -> int:
    """Ring again for every job that should have moved; how many.

    This is what makes the broker forgettable: lost, doubled or late messages, a flushed Redis, a killed worker
    all come down to a row that is due and that nobody owns.
    A job is rung for again only after a while, so a long queue is not doubled at every sweep; and because one
    statement chooses and marks them, two sweeps at once ring for each job once.
    """
    repair_now_and_then()
    now = Now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE tasks_job SET rung_at = statement_timestamp() WHERE id IN (
                SELECT id FROM tasks_job
                WHERE status = ANY(%(in_flight)s) AND not_before < statement_timestamp() - make_interval(secs => %(overdue)s)
                  AND (owner = '' OR lease_until < statement_timestamp())
                  AND (rung_at IS NULL OR rung_at NOT BETWEEN statement_timestamp() - make_interval(secs => %(again)s)
                                                             AND statement_timestamp())
                ORDER BY not_before LIMIT %(most)s FOR UPDATE SKIP LOCKED
            ) RETURNING id, queue
            """,
            {
                "in_flight": sorted(IN_FLIGHT),
                "overdue": OVERDUE.total_seconds(),
                "again": RING_AGAIN_AFTER.total_seconds(),
                "most": SWEEP_AT_MOST,
            },
        )
        due = cursor.fetchall()
    crash_points.crash_point("swept")
    dispatch_jobs(due)
    overdue = (
        AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN, next_look_at__lt=now - OVERDUE)
        .order_by()
        .values_list("watcher", "scope")
        .distinct()
    )
    for watcher, scope in overdue:
        dispatch_poll(watcher, scope)
    return len(due)


def prune(*, older_than: datetime, kind: str = "", batch: int = 1000) -> int:
    """Delete a batch of jobs (of one kind) that ended before a time, with all that belongs to them; how many jobs."""
    of_kind = {"kind": kind} if kind else {}
    ended = (
        Job.objects.filter(ended_at__lt=older_than, parent=None, **of_kind)
        .order_by("ended_at")
        .values_list("pk", flat=True)
    )
    ids = list(ended[:batch])
    Job.objects.filter(pk__in=ids).delete()
    return len(ids)
