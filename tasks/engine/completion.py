"""Finish: how a job ends, is undone before its failure is final, or stops for a person to decide."""

from __future__ import annotations

import json
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import crash_points, queries
from ..command import Command, Done, Failed, Failure, Spawn, StepFunction, Wait
from ..leases import renewal
from ..models import AsyncTask, JobLogLine, JobStatus, Step, StepStatus, statuses_before
from .children import compensate_children, count_ended_child, lock_parent, wait_for_children
from .claims import (
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

# An undo is tried again for this long before the job becomes stuck.
UNDO_DEADLINE = timedelta(hours=24)


# --- Ending ------------------------------------------------------------------------------------------------


def end_job(claim: Claim, status: JobStatus, also: Step | None = None) -> bool:
    """End a job: write its outcome, its command's own result, and free its locks, in one transaction or not at all.

    `also` is a last step to be written with it. Returns False: there is nothing more to do.
    When the command's hook is itself wrong, nothing is written; the lease runs out and the job is claimed again, up to the
    attempt cap, where it becomes stuck for a person to see.
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
            count_ended_child(job, status)
        if status != JobStatus.SUCCEEDED:
            Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message"])
            drop_watches(job)
    job.status = status
    return False


def _write_end(claim: Claim, status: JobStatus, also: Step | None) -> None:
    """Write the job's last row, its last step's and its locks. Raises `FencedError`."""
    job = claim.job
    last = also or Step(position=-1)
    ended = queries.end_job(
        {
            "status": status.value,
            "data": json.dumps(job.data),
            "code": job.outcome_code or ("done" if status == JobStatus.SUCCEEDED else status.value),
            "message": job.outcome_message,
            "trace": job.traceback,
            "job": job.pk,
            "owner": claim.lease.owner,
            "before": [before.value for before in statuses_before(status)],
            "step_status": str(last.status),
            "progress": last.progress,
            "step_message": last.message,
            "started": last.started_at,
            "position": last.position,
        }
    )
    if not ended:
        raise FencedError


def mark_stuck(claim: Claim, message: str, *, trace: str = "") -> None:
    """Stop a job and keep its locks: half an effect may be out there, and a person has to decide."""
    job = claim.job
    if job.ending:
        # Why it is being undone: restored when a person resumes it.
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


# --- Undoing -----------------------------------------------------------------------------------------------


def begin_undo(
    claim: Claim, failing: Step | None, ending: JobStatus, code: str, message: str, *, trace: str = ""
) -> bool:
    """Begin to undo a job: mark the steps that never began as skipped, and undo those that did; return whether there is more to do."""
    now = timezone.now()
    for step in claim.steps:
        if step is failing:
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
    """Return the last step that began, has something that can be undone, and is not undone yet."""
    undoable = {declared.name for declared in claim.command.steps if declared.undo_run is not None}
    began = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.UNDOING}
    for step in reversed(claim.steps):
        if (
            step.status in began
            and step.name not in claim.passed_over
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
    undo_run = claim.declared(step).undo_run
    if undo_run is None:
        if step.status == StepStatus.UNDOING:
            return _record_undone(claim, step)
        # Its children did nothing that can be undone: that stays done, and the step says so.
        claim.passed_over.add(step.name)
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
            f"The undo of '{step.name}' answers Spawn: an undo begins nothing new.",
        )
    if result is None:
        log.error("undo_errored", step=step.name, trace=trace)
        if step.tries >= settings.JOB_ATTEMPT_CAP:
            mark_stuck(claim, internal_error_message(), trace=trace)
            return False
        result = Wait(
            back_off(step.tries), _("%(error)s It will be tried again.") % {"error": internal_error_message()}
        )
    failed = bool(trace)
    if isinstance(result, Failed):
        # The outside refuses to undo it now; it is asked again until it does.
        result, failed = Wait(back_off(step.tries), result.message), True
    if isinstance(result, Done):
        return _record_undone(claim, step)
    step.message = result.message
    park_step(claim, step, result, StepStatus.UNDOING, failed=failed)
    return False


def _record_undone(claim: Claim, step: Step) -> bool:
    step.status, step.tries = StepStatus.UNDONE, 0
    if next_undo(claim) is None:
        return end_job(claim, JobStatus(claim.job.ending), also=step)
    claim.record(step)
    crash_points.crash_point("recorded")
    return True
