"""Moving a job on, step by step."""

from __future__ import annotations

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import crash_points
from ..command import Done, Failed, Result, Wait
from ..leases import lease
from ..models import AsyncTask, Job, JobStatus, Step, StepStatus
from .calling import call, last_word
from .claims import Claim, give_back, watched_by
from .ending import end
from .undo import begin_undo

log = structlog.get_logger(__name__)


def run_one(claim: Claim) -> bool:
    """Do the next thing of a job that goes forward; whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = next((step for step in claim.steps if step.status != StepStatus.SUCCEEDED), None)
    if step is None:
        return end(claim, JobStatus.SUCCEEDED)
    begun = job.attempt > 1 or step.status != StepStatus.PENDING
    now = timezone.now()
    if begun:
        # Only a step that says Failed is sure of having had no effect; its undo must ask the outside.
        job.data["unrecorded"] = step.name
    if job.cancel_requested_at is not None:
        return begin_undo(claim, step if begun else None, JobStatus.CANCELLED, "cancelled", _("Cancelled."))
    if job.deadline <= now:
        return _fail(
            claim, step, Failed("deadline", _("It did not end within its time limit. %s") % step.message)
        )
    if step.status == StepStatus.WAITING and (watched := watched_by(job, step)) is not None:
        return _judge(claim, step, watched)
    if step.deadline is not None and step.deadline <= now:
        return _fail(
            claim, step, Failed("timeout", _("'%(step)s' took too long. %(last)s") % last_word(step))
        )
    command.retrying, command.tries = begun, step.tries
    step.started_at = step.started_at or now
    step.deadline = step.deadline or now + claim.declared(step).deadline
    result, trace = call(claim, claim.declared(step).run)
    crash_points.crash_point("called")
    if result is None:
        job.data["unrecorded"] = step.name
        log.error("step_errored", step=step.name, trace=trace)
        return begin_undo(
            claim, step, JobStatus.ERRORED, "internal_error", _("An error of the portal itself."), trace=trace
        )
    return _record(claim, step, result)


def _record(claim: Claim, step: Step, result: Result) -> bool:
    """Write a step's result; whether there is more to do at once."""
    if not isinstance(result, Wait):
        claim.job.data.pop("unrecorded", None)
    if isinstance(result, Failed):
        return _fail(claim, step, result)
    step.message = result.message
    if isinstance(result, Done):
        step.status, step.progress, step.ended_at, step.tries = StepStatus.SUCCEEDED, 100, timezone.now(), 0
        if step.position == len(claim.steps) - 1:
            return end(claim, JobStatus.SUCCEEDED, also=step)
        with transaction.atomic():
            claim.write(data=claim.job.data, attempt=1, lease_until=Now() + lease())
            step.save()
        claim.job.attempt = 1
        claim.job.cancel_requested_at = Job.objects.values_list("cancel_requested_at", flat=True).get(
            pk=claim.job.pk
        )
        crash_points.crash_point("recorded")
        return True
    give_back(claim, step, result, StepStatus.WAITING)
    return False


def _judge(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Go on from what the poller found out about what the step waits for."""
    if watched.observation:
        claim.job.data["observed"] = watched.observation
    if watched.verdict == AsyncTask.Verdict.REACHED:
        return _record(claim, step, Done())
    if watched.verdict == AsyncTask.Verdict.REFUSED:
        fault = watched.observation.get("fault") or _("no reason was given")
        message = _("The cloud reports %(status)s: %(fault)s") % {
            "status": watched.last_status,
            "fault": fault,
        }
        return _fail(claim, step, Failed("refused_by_cloud", message))
    if watched.expires_at <= timezone.now():
        return _fail(
            claim,
            step,
            Failed("timeout", _("'%(step)s' took too long. %(last)s") % last_word(step, watched)),
        )
    # An early or doubled ring: back to waiting, and nothing else.
    with transaction.atomic():
        claim.write(
            status=JobStatus.WAITING, owner="", lease_until=None, attempt=0, not_before=watched.expires_at
        )
    return False


def _fail(claim: Claim, step: Step, failed: Failed) -> bool:
    return begin_undo(claim, step, JobStatus.FAILED, failed.code, failed.message)
