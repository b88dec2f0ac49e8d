"""Hold the jobs of a restored database, until staff decide about each."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from api.messages import encode_message, limit_message

from ..models import IN_FLIGHT, Job, JobLogLine, JobStatus
from .claims import RESTORED, drop_watches


def select_in_doubt(before: datetime, exempt_kinds: Collection[str]) -> QuerySet[Job]:
    """Return the jobs in flight of a restored database: what they were to do may have been done after the backup.

    A job that waits for its children is not among them: it can go on only after they have been decided about.
    """
    in_flight = Job.objects.filter(status__in=IN_FLIGHT, children_open=0, created_at__lt=before)
    return in_flight.exclude(kind__in=exempt_kinds).order_by("created_at", "pk")


def hold_jobs(before: datetime, message: str, exempt_kinds: Collection[str]) -> int:
    """Mark the jobs in doubt as stuck, with their locks; return how many.

    Staff resume a job or end it. When it goes on, each of its steps and of its children's is `retrying`: it looks for its own
    effect in the cloud first, because the job may have been several steps further than the restored database knows.
    Run it while no worker advances jobs; a worker that does nevertheless finds that it has lost its job (`FencedError`).
    """
    with transaction.atomic():
        parents = Job.objects.filter(status__in=IN_FLIGHT, children_open__gt=0, created_at__lt=before)
        for parent in parents.select_for_update(of=("self",)):
            parent.data[RESTORED] = True
            parent.save(update_fields=["data"])
        jobs = list(select_in_doubt(before, exempt_kinds).select_for_update(of=("self",)))
        for job in jobs:
            if job.ending:
                # The reason of the undo, which is restored when staff resume the job.
                job.data["failure"] = [job.outcome_code, encode_message(job.outcome_message), job.traceback]
            job.data[RESTORED] = True
            job.status, job.owner, job.lease_until = JobStatus.STUCK, "", None
            job.outcome_code, job.outcome_message = "stuck", limit_message(message, 2000)
            drop_watches(job)
        columns = ["status", "owner", "lease_until", "data", "outcome_code", "outcome_message"]
        Job.objects.bulk_update(jobs, columns, batch_size=500)
        JobLogLine.objects.bulk_create(
            JobLogLine(job=job, level=JobLogLine.Level.WARNING, message=message) for job in jobs
        )
    return len(jobs)
