"""What happens to jobs from outside of a worker: cancelling, ringing again, forgetting."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now

from ..doorbell import ring_job, ring_poll, wake
from ..models import IN_FLIGHT, AsyncTask, Job, JobStatus

# What should have moved this long ago was not rung for, or its ring was lost.
OVERDUE = timedelta(seconds=3)
RING_AGAIN_AFTER = timedelta(seconds=20)
SWEEP_AT_MOST = 1000


def cancel(job: Job) -> bool:
    """Ask a job to stop at its next step boundary and to undo what it did; whether it can still hear that.

    Compare-and-set on the row, so a job that ends at the same moment simply ends.
    """
    heard = Job.objects.filter(
        pk=job.pk,
        status__in=[JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING],
        cancel_requested_at=None,
    ).update(cancel_requested_at=Now())
    if heard:
        wake([job.pk])
    return bool(heard)


def sweep() -> int:
    """Ring again for every job that should have moved; how many.

    This is what makes the broker forgettable: lost, doubled or late messages, a flushed Redis, a killed worker
    all come down to a row that is due and that nobody owns.
    A job is rung for again only after a while, so a long queue is not doubled at every sweep.
    """
    now = Now()
    due = list(
        Job.objects.filter(status__in=IN_FLIGHT, not_before__lt=now - OVERDUE)
        .filter(Q(owner="") | Q(lease_until__lt=now))
        .filter(Q(rung_at=None) | Q(rung_at__lt=now - RING_AGAIN_AFTER))
        .order_by("not_before")
        .values_list("pk", flat=True)[:SWEEP_AT_MOST]
    )
    Job.objects.filter(pk__in=due).update(rung_at=now)
    for job_id in due:
        ring_job(job_id)
    overdue = (
        AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN, next_look_at__lt=now - OVERDUE)
        .order_by()
        .values_list("watcher", "scope")
        .distinct()
    )
    for watcher, scope in overdue:
        ring_poll(watcher, scope)
    return len(due)


def prune(*, older_than: datetime, batch: int = 1000) -> int:
    """Delete a batch of jobs that ended before a time, with all that belongs to them; how many jobs."""
    ended = (
        Job.objects.filter(ended_at__lt=older_than, parent=None)
        .order_by("ended_at")
        .values_list("pk", flat=True)
    )
    ids = list(ended[:batch])
    Job.objects.filter(pk__in=ids).delete()
    return len(ids)
