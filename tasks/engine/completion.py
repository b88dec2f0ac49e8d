"""Finish: end a job, undo it before its failure is final, or stop it until staff decide."""

from __future__ import annotations

import json
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from api.messages import encode_message, limit_message
from api.messages import message as _
from api.shared_metrics import Counter, Histogram

from .. import crash_points, queries
from ..command import Command, Done, Failed, Failure, Spawn, StepFunction, Wait
from ..leases import renewal
from ..models import AsyncTask, JobLogLine, JobStatus, Step, StepStatus, statuses_before
from .children import compensate_children, count_ended_child, lock_parent, wait_for_children
from .claims import (
    RESTORED,
    Claim,
    FencedError,
    back_off,
    call_step,
    describe_progress,
    drop_watches,
    find_watch,
    internal_error_message,
    park_step,
    repark_step,
)

log = structlog.get_logger(__name__)

JOBS_ENDED = Counter("portal_jobs_ended", "Jobs that have ended, by kind and outcome.", ("kind", "status"))
JOB_DURATIONS = Histogram(
    "portal_job_duration_seconds",
    "Seconds from the submission of a job to its end.",
    ("kind",),
    (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)

# An undo is retried for this time before the job becomes stuck.
UNDO_DEADLINE = timedelta(hours=24)


# --- Ending ------------------------------------------------------------------------------------------------


def end_job(claim: Claim, status: JobStatus, last_step: Step | None = None) -> bool:
    """End a job: call its command's hook, write its outcome and free its locks, in one transaction.

    `last_step` is a step that is written, too. Always returns False: there is nothing more to do.
    When the command's hook raises, nothing is written: the lease runs out and the job is claimed again, up to the attempt
    cap, where it becomes stuck.
    """
    _end_and_write(claim, status, last_step)
    claim.job.status = status
    JOBS_ENDED.increment(claim.job.kind, status.value)
    JOB_DURATIONS.observe((timezone.now() - claim.job.created_at).total_seconds(), claim.job.kind)
    return False


def _end_and_write(claim: Claim, status: JobStatus, last_step: Step | None) -> None:
    job, command = claim.job, claim.command
    if (
        status == JobStatus.SUCCEEDED
        and job.parent_id is None
        and type(command).on_success is Command.on_success
    ):
        # A single statement writes everything, and needs no explicit transaction.
        _write_end(claim, status, last_step)
        crash_points.crash_point("ended")
        return
    with transaction.atomic():
        crash_points.crash_point_on_commit("ended")
        if job.parent_id is not None:
            lock_parent(job)
        if status == JobStatus.SUCCEEDED:
            command.on_success()
        else:
            command.on_failure(Failure(status, job.outcome_code, job.outcome_message))
        _write_end(claim, status, last_step)
        if job.parent_id is not None:
            count_ended_child(job, status)
        if status != JobStatus.SUCCEEDED:
            Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message"])
            drop_watches(job)


def _write_end(claim: Claim, status: JobStatus, last_step: Step | None) -> None:
    """Write the end of the job and of its last step, and delete its locks. Raises `FencedError`."""
    job = claim.job
    step_to_write = last_step or Step(position=-1)
    ended = queries.end_job(
        {
            "status": status.value,
            "data": json.dumps(job.data),
            "code": job.outcome_code or ("done" if status == JobStatus.SUCCEEDED else status.value),
            "message": encode_message(job.outcome_message),
            "trace": job.traceback,
            "job": job.pk,
            "owner": claim.lease.owner,
            "before": [before.value for before in statuses_before(status)],
            "step_status": str(step_to_write.status),
            "progress": step_to_write.progress,
            "step_message": encode_message(step_to_write.message),
            "started": step_to_write.started_at,
            "position": step_to_write.position,
        }
    )
    if not ended:
        raise FencedError


def mark_stuck(claim: Claim, message: str, *, trace: str = "") -> None:
    """Stop a job until staff decide, and keep its locks, because its effects may be incomplete."""
    job = claim.job
    if job.ending:
        # The reason of the undo, which is restored when staff resume the job.
        job.data["failure"] = [job.outcome_code, encode_message(job.outcome_message), job.traceback]
    with transaction.atomic():
        claim.release(
            status=JobStatus.STUCK,
            data=job.data,
            outcome_code="stuck",
            outcome_message=limit_message(message, 2000),
            traceback=trace,
        )
        drop_watches(job)
        claim.log_message(message, JobLogLine.Level.ERROR)
    log.error("job_stuck", job_id=str(job.id), message=message)
    crash_points.crash_point("stuck")


# --- Undoing -----------------------------------------------------------------------------------------------


def begin_undo(
    claim: Claim, failed_step: Step | None, ending: JobStatus, code: str, message: str, *, trace: str = ""
) -> bool:
    """Begin the undo of a job: mark the steps that have not begun as skipped; return whether there is more to do at once.

    A job of a restored database becomes stuck instead, unless staff have requested the undo: what it would delete may have
    been in use since the backup.
    """
    if RESTORED in claim.job.data and claim.job.cancel_requested_at is None:
        # A verdict that failed the step is forgotten: when staff resume the job, it looks again.
        AsyncTask.objects.filter(job=claim.job).update(verdict=AsyncTask.Verdict.DROPPED)
        mark_stuck(
            claim,
            _("It is not rolled back by itself, because the database was restored from a backup. %s")
            % message,
            trace=trace,
        )
        return False
    now = timezone.now()
    for step in claim.steps:
        if step is failed_step:
            step.status, step.ended_at = StepStatus.FAILED, now
            step.message = message
        elif step.status != StepStatus.SUCCEEDED:
            step.status = StepStatus.SKIPPED
        step.tries, step.deadline = 0, None
    reason = {"outcome_code": code[:50], "outcome_message": message, "traceback": trace}
    for name, value in reason.items():
        setattr(claim.job, name, value)
    claim.job.ending = ending
    if next_undo(claim) is None:
        return end_job(claim, ending)
    with transaction.atomic():
        claim.write(
            status=JobStatus.UNDOING,
            ending=ending,
            data=claim.job.data,
            attempt=1,
            **renewal(),
            **reason,
        )
        drop_watches(claim.job)
        Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message", "tries", "deadline"])
        claim.log_message(_("Rolling back: %s") % message, JobLogLine.Level.WARNING)
    claim.job.status, claim.job.attempt = JobStatus.UNDOING, 1
    crash_points.crash_point("recorded")
    return True


def next_undo(claim: Claim) -> Step | None:
    """Return the last step that has begun, can be undone, and is not undone yet; None without one."""
    undoable = {declaration.name for declaration in claim.command.steps if declaration.undo_run is not None}
    began = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.UNDOING}
    for step in reversed(claim.steps):
        if (
            step.status in began
            and step.name not in claim.skipped_undos
            and (step.name in undoable or step.children)
        ):
            return step
    return None


def undo_step(claim: Claim) -> bool:
    """Undo the next step; return whether there is more to do at once."""
    job = claim.job
    if job.children_open:
        return wait_for_children(claim, cancelling=False)
    step = next_undo(claim)
    if step is None:
        return end_job(claim, JobStatus(job.ending))
    if step.children and compensate_children(claim, step):
        return False
    undo_run = claim.declaration(step).undo_run
    if undo_run is None:
        if step.status == StepStatus.UNDOING:
            return _record_undone(claim, step)
        # Neither the step nor its children can be undone, so the step stays as it is.
        claim.skipped_undos.add(step.name)
        return True
    now = timezone.now()
    watched = find_watch(job, step, undo=True) if step.status == StepStatus.UNDOING else None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN and watched.expires_at > now:
        return repark_step(claim, watched)
    if watched is not None and watched.verdict == AsyncTask.Verdict.REACHED:
        return _record_undone(claim, step)
    step.deadline = step.deadline or now + UNDO_DEADLINE
    if step.deadline <= now:
        mark_stuck(claim, _("'%(step)s' could not be rolled back. %(last)s") % describe_progress(step))
        return False
    return _call_undo(claim, step, undo_run)


def _call_undo(claim: Claim, step: Step, undo_run: StepFunction) -> bool:
    command = claim.command
    command.retrying = claim.job.attempt > 1 or step.status == StepStatus.UNDOING
    command.tries = step.tries
    result, trace = call_step(claim, undo_run)
    crash_points.crash_point("called")
    if isinstance(result, Spawn):
        result, trace = (
            None,
            f"The undo of '{step.name}' returned Spawn, but an undo cannot spawn children.",
        )
    if result is None:
        log.error("undo_errored", step=step.name, trace=trace)
        if step.tries >= settings.JOB_ATTEMPT_CAP:
            mark_stuck(claim, internal_error_message(), trace=trace)
            return False
        result = Wait(
            back_off(step.tries), _("%(error)s It will be tried again.") % {"error": internal_error_message()}
        )
    is_failed_try = bool(trace)
    if isinstance(result, Failed):
        # The external system refuses the undo for now, so it is retried.
        result, is_failed_try = Wait(back_off(step.tries), result.message), True
    if isinstance(result, Done):
        return _record_undone(claim, step)
    step.message = result.message
    park_step(claim, step, result, StepStatus.UNDOING, is_failed_try=is_failed_try)
    return False


def _record_undone(claim: Claim, step: Step) -> bool:
    step.status, step.tries = StepStatus.UNDONE, 0
    if next_undo(claim) is None:
        return end_job(claim, JobStatus(claim.job.ending), last_step=step)
    claim.record(step)
    crash_points.crash_point("recorded")
    return True
