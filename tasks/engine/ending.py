"""How a job ends, or stops for a person to decide."""

from __future__ import annotations

import json

import structlog
from django.db import connection, transaction

from .. import crash_points
from ..command import Command, Failure
from ..models import JobLogLine, JobStatus, Step, statuses_before
from .claims import Claim, FencedError, drop_watches
from .tree import count_ended, lock_parent

log = structlog.get_logger(__name__)


def end(claim: Claim, status: JobStatus, also: Step | None = None) -> bool:
    """Write a job's last word, its command's own result, and free its locks: one transaction, or nothing.

    When the command's hook is itself wrong, nothing is written; the claim runs out and is taken again, up to the
    attempt cap, where the job is stuck for a person to see.
    """
    job, command = claim.job, claim.command
    if (
        status == JobStatus.SUCCEEDED
        and job.parent_id is None
        and type(command).on_success is Command.on_success
    ):
        # Nothing but the one statement has to be written, and a statement is a transaction of its own.
        _write_end(claim, status, also)
        crash_points.crash_point("ended")
        job.status = status
        return False
    with transaction.atomic():
        crash_points.crash_point_on_commit("ended")
        if job.parent_id is not None:
            lock_parent(job)
        if status == JobStatus.SUCCEEDED:
            command.on_success()
        else:
            command.on_failure(Failure(status, job.outcome_code, job.outcome_message))
        _write_end(claim, status, also)
        if job.parent_id is not None:
            count_ended(job, status)
        if status != JobStatus.SUCCEEDED:
            Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message"])
            drop_watches(job)
    job.status = status
    return False


def _write_end(claim: Claim, status: JobStatus, also: Step | None) -> None:
    """The job's last row, its last step's and its locks, in one statement: every click ends here. Raises `FencedError`."""
    job = claim.job
    last = also or Step(position=-1)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH ended AS (
                UPDATE tasks_job SET
                    status = %(status)s, owner = '', lease_until = NULL, ended_at = statement_timestamp(),
                    data = %(data)s, outcome_code = %(code)s, outcome_message = %(message)s, traceback = %(trace)s
                WHERE id = %(job)s AND owner = %(owner)s AND status = ANY(%(before)s) RETURNING id
            ), last AS (
                UPDATE tasks_step SET
                    status = %(step_status)s, progress = %(progress)s, message = %(step_message)s, tries = 0,
                    started_at = %(started)s, ended_at = statement_timestamp()
                FROM ended WHERE job_id = ended.id AND position = %(position)s
            ), freed AS (
                DELETE FROM tasks_entitylock USING ended WHERE job_id = ended.id
            )
            SELECT count(*) FROM ended
            """,
            {
                "status": status.value,
                "data": json.dumps(job.data),
                "code": job.outcome_code or ("done" if status == JobStatus.SUCCEEDED else status.value),
                "message": job.outcome_message,
                "trace": job.traceback,
                "job": job.pk,
                "owner": claim.owner,
                "before": [before.value for before in statuses_before(status)],
                "step_status": str(last.status),
                "progress": last.progress,
                "step_message": last.message,
                "started": last.started_at,
                "position": last.position,
            },
        )
        if cursor.fetchone() == (0,):
            raise FencedError


def mark_stuck(claim: Claim, message: str, *, trace: str = "") -> None:
    """Stop and keep the locks: half an effect may be out there, and a person has to decide."""
    job = claim.job
    if job.ending:
        # Why it is being undone: it says that again when a person lets it go on.
        job.data["failure"] = [job.outcome_code, job.outcome_message, job.traceback]
    with transaction.atomic():
        claim.release(
            status=JobStatus.STUCK,
            data=job.data,
            outcome_code="stuck",
            outcome_message=message[:2000],
            traceback=trace,
        )
        drop_watches(job)
        claim.log_message(message, JobLogLine.Level.ERROR)
    log.error("job_stuck", job_id=str(job.id), message=message)
    crash_points.crash_point("stuck")
