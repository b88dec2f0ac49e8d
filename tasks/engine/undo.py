"""Going back over what a job did, step by step, before its failure is final."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import crash_points
from ..command import Done, Failed, Spawn, StepFunction, Wait
from ..leases import lease
from ..models import AsyncTask, JobLogLine, JobStatus, Step, StepStatus
from .calling import back_off, call, last_word, our_fault
from .claims import Claim, drop_watches, park_step, repark_step, watched_by
from .ending import end, mark_stuck
from .tree import compensate_children, wait_for_children

log = structlog.get_logger(__name__)

# An undo is tried again for this long before a person has to look.
UNDO_DEADLINE = timedelta(hours=24)


def begin_undo(
    claim: Claim, failing: Step | None, ending: JobStatus, code: str, message: str, *, trace: str = ""
) -> bool:
    """Turn a job round: mark what never began as skipped, and go back over what did."""
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
        return end(claim, ending)
    with transaction.atomic():
        claim.write(
            status=JobStatus.UNDOING,
            ending=ending,
            data=claim.job.data,
            attempt=1,
            lease_until=Now() + lease(),
            **reason,
        )
        drop_watches(claim.job)
        Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message", "tries", "deadline"])
        claim.log_message(_("Undoing: %s") % message, JobLogLine.Level.WARNING)
    claim.job.status, claim.job.attempt = JobStatus.UNDOING, 1
    crash_points.crash_point("recorded")
    return True


def next_undo(claim: Claim) -> Step | None:
    """The last step that began, has something that can be undone, and is not undone yet."""
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


def undo_one(claim: Claim) -> bool:
    """Take back one step; whether there is more to do at once."""
    job = claim.job
    if job.children_open:
        return wait_for_children(claim, winding_up=False)
    step = next_undo(claim)
    if step is None:
        return end(claim, JobStatus(job.ending))
    if step.children and compensate_children(claim, step):
        return False
    undo_run = claim.declared(step).undo_run
    if undo_run is None:
        if step.status == StepStatus.UNDOING:
            return _undone(claim, step)
        # Its children did nothing that could be taken back: that stays done, and the step says so.
        claim.passed_over.add(step.name)
        return True
    now = timezone.now()
    watched = watched_by(job, step, undo=True) if step.status == StepStatus.UNDOING else None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN and watched.expires_at > now:
        return repark_step(claim, watched)
    if watched is not None and watched.verdict == AsyncTask.Verdict.REACHED:
        return _undone(claim, step)
    step.deadline = step.deadline or now + UNDO_DEADLINE
    if step.deadline <= now:
        mark_stuck(claim, _("'%(step)s' could not be undone. %(last)s") % last_word(step))
        return False
    return _call_undo(claim, step, undo_run)


def _call_undo(claim: Claim, step: Step, undo_run: StepFunction) -> bool:
    command = claim.command
    command.retrying = claim.job.attempt > 1 or step.status == StepStatus.UNDOING
    command.tries = step.tries
    result, trace = call(claim, undo_run)
    crash_points.crash_point("called")
    if isinstance(result, Spawn):
        result, trace = (
            None,
            f"The undo of '{step.name}' answers Spawn: an undo takes back and begins nothing.",
        )
    if result is None:
        log.error("undo_errored", step=step.name, trace=trace)
        if step.tries >= settings.JOB_ATTEMPT_CAP:
            mark_stuck(claim, our_fault(), trace=trace)
            return False
        result = Wait(back_off(step.tries), _("%(error)s It will be tried again.") % {"error": our_fault()})
    failed = bool(trace)
    if isinstance(result, Failed):
        # The outside refuses to take it back now; it is asked again until it does.
        result, failed = Wait(back_off(step.tries), result.message), True
    if isinstance(result, Done):
        return _undone(claim, step)
    step.message = result.message
    park_step(claim, step, result, StepStatus.UNDOING, failed=failed)
    return False


def _undone(claim: Claim, step: Step) -> bool:
    step.status, step.tries = StepStatus.UNDONE, 0
    if next_undo(claim) is None:
        return end(claim, JobStatus(claim.job.ending), also=step)
    with transaction.atomic():
        claim.write(data=claim.job.data, attempt=1, lease_until=Now() + lease())
        step.save()
    claim.job.attempt = 1
    crash_points.crash_point("recorded")
    return True
