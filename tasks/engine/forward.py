"""Moving a job on, step by step."""

from __future__ import annotations

import traceback
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import crash_points
from ..command import Done, Failed, Result, Spawn, Wait, Watch
from ..leases import LeaseLostError, lease
from ..models import AsyncTask, Job, JobStatus, Step, StepStatus
from ..polling import observe_object, poll_once_more
from .calling import call, last_word, our_fault
from .claims import Claim, drop_watch, look_now, park_step, repark_step, stalled_at, watched_by
from .ending import end
from .tree import spawn, verdict_on, wait_for_children
from .undo import begin_undo

log = structlog.get_logger(__name__)


def run_one(claim: Claim) -> bool:
    """Do the next thing of a job that goes forward; whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = next((step for step in claim.steps if step.status != StepStatus.SUCCEEDED), None)
    if step is None:
        return end(claim, JobStatus.SUCCEEDED)
    begun = job.attempt > 1 or step.status != StepStatus.PENDING
    if begun:
        # Only a step that says Failed is sure of having had no effect; its undo must ask the outside.
        job.data["unrecorded"] = step.name
    going_on = _without_running(claim, step, begun=begun)
    if going_on is not None:
        return going_on
    now = timezone.now()
    command.retrying, command.tries = begun, step.tries
    step.started_at = step.started_at or now
    step.deadline = step.deadline or now + claim.declared(step).deadline
    result, trace = call(claim, claim.declared(step).run)
    crash_points.crash_point("called")
    if result is None:
        job.data["unrecorded"] = step.name
        log.error("step_errored", step=step.name, trace=trace)
        return begin_undo(claim, step, JobStatus.ERRORED, "internal_error", our_fault(), trace=trace)
    return _record(claim, step, result, failed=bool(trace))


def _without_running(claim: Claim, step: Step, *, begun: bool) -> bool | None:
    """Do what is decided about a job before its step's code runs, and whether there is more; None: it has to run."""
    job, now = claim.job, timezone.now()
    late = step.deadline is not None and step.deadline <= now
    if job.children_open:
        over = late or job.deadline <= now or job.cancel_requested_at is not None
        return wait_for_children(claim, winding_up=over)
    if job.cancel_requested_at is not None:
        return begin_undo(claim, step if begun else None, JobStatus.CANCELLED, "cancelled", _("Cancelled."))
    watched = watched_by(job, step) if step.status == StepStatus.WAITING else None
    if job.deadline <= now:
        holds = _try_once_more(claim, step, watched)
        if holds is not None:
            return holds
        message = _("It did not end within its time limit. %s") % step.message
        return _fail(claim, step, Failed("deadline", message))
    if step.children:
        return _judge_children(claim, step)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _judge(claim, step, watched)
    if late:
        holds = _try_once_more(claim, step, None)
        if holds is not None:
            return holds
        message = _("'%(step)s' took too long. %(last)s") % last_word(step)
        return _fail(claim, step, Failed("timeout", message))
    if job.parent_id is not None and not begun and step.position == 0 and (refused := _not_valid(claim)):
        ending, failed, trace = refused
        return begin_undo(claim, None, ending, failed.code, failed.message, trace=trace)
    return None


def _try_once_more(claim: Claim, step: Step, watched: AsyncTask | None) -> bool | None:
    """Find out, before a step that is out of time is undone, whether it holds by now; None when it does not.

    The outside may have got there since anybody looked, above all when it had asked us to stay away for long. A watch is
    looked at; a step that was waiting to run again runs a last time, as it might have a moment before its deadline: it is
    safe to repeat, and whatever it does is undone with it unless it says `Done`.
    """
    if step.status != StepStatus.WAITING or step.children:
        return None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN:
        if poll_once_more(watched) is None:
            return None
        return _judge(claim, step, watched)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _judge(claim, step, watched)
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call(claim, claim.declared(step).run)
    crash_points.crash_point("called")
    if isinstance(result, Watch):
        return _record(claim, step, Done()) if _holds_at_once(claim, step, result) else None
    if isinstance(result, Failed) and not trace:
        return _record(claim, step, result)
    return _record(claim, step, result) if isinstance(result, Done) else None


def _holds_at_once(claim: Claim, step: Step, watch: Watch) -> bool:
    """Whether what a step wants to watch, for which there is no more time, is as it wants it already."""
    seen = observe_object(watch.watcher, watch.scope, watch.object_id)
    if seen is None or seen.status not in watch.until:
        return False
    claim.job.data["observed"] = {**seen.data, "status": seen.status, "fault": seen.fault}
    return True


def _not_valid(claim: Claim) -> tuple[JobStatus, Failed, str] | None:
    """Why a child cannot begin: it is validated now, because those before it may have made it possible."""
    try:
        with transaction.atomic():
            refusals = claim.command.validate()
    except Exception:
        log.exception("validation_errored")
        return JobStatus.ERRORED, Failed("internal_error", our_fault()), traceback.format_exc(limit=30)
    if not refusals:
        return None
    messages = " ".join(str(refusal.message) for refusal in refusals)
    return JobStatus.FAILED, Failed(refusals[0].code, messages), ""


def _record(claim: Claim, step: Step, result: Result, *, failed: bool = False) -> bool:
    """Write a step's result; whether there is more to do at once. `failed`: it stands for an exception."""
    if not isinstance(result, Wait):
        claim.job.data.pop("unrecorded", None)
    if isinstance(result, Failed):
        return _fail(claim, step, result)
    if isinstance(result, Spawn) and not result.children:
        result = Done(result.message)
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
    if isinstance(result, Spawn):
        refused = spawn(claim, step, result)
        return _fail(claim, step, refused) if refused else False
    park_step(claim, step, result, StepStatus.WAITING, failed=failed)
    return False


def _judge_children(claim: Claim, step: Step) -> bool:
    """Go on from how a step's children have ended."""
    verdict = verdict_on(claim, step)
    if verdict is None:
        return _record(claim, step, Done(step.message))
    claim.job.data.pop("unrecorded", None)
    ending, failed, trace = verdict
    return begin_undo(claim, step, ending, failed.code, failed.message, trace=trace)


def _judge(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Go on from what the poller found out about what the step waits for."""
    if watched.observation:
        claim.job.data["observed"] = watched.observation
    if watched.verdict == AsyncTask.Verdict.REACHED:
        return _record(claim, step, Done())
    if watched.verdict == AsyncTask.Verdict.REFUSED and watched.observation.get("failed_looks"):
        claim.job.data.pop("observed", None)
        message = _("What the cloud says of it could not be read: %(reason)s") % {
            "reason": watched.observation.get("fault", "")
        }
        return _fail(claim, step, Failed("unreadable", message))
    if watched.verdict == AsyncTask.Verdict.REFUSED:
        return _fail(claim, step, Failed("refused_by_cloud", _explained(claim, watched)))
    if watched.expires_at <= timezone.now():
        if poll_once_more(watched) is not None:
            return _judge(claim, step, watched)
        return _fail(
            claim,
            step,
            Failed("timeout", _("'%(step)s' took too long. %(last)s") % last_word(step, watched)),
        )
    due = stalled_at(claim, step, watched)
    if due is not None and due <= timezone.now():
        return _ask_stalled(claim, step, watched)
    return repark_step(claim, watched, look_at=due)


def _explained(claim: Claim, watched: AsyncTask) -> str:
    """Why the outside has decided against the job: in its command's words, or in the engine's when it has none."""
    fault = str(watched.observation.get("fault") or "")
    try:
        words = claim.command.explain(watched.last_status, fault)
    except LeaseLostError:
        raise
    except Exception:  # Whatever ails the words, the job ends.
        log.warning("explanation_failed", exc_info=True)
        words = ""
    return words or _("The cloud reports %(status)s: %(fault)s") % {
        "status": watched.last_status,
        "fault": fault or _("no reason was given"),
    }


def _ask_stalled(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Ask the command about a watch that nothing has decided yet, and go on from its answer.

    What the poller decides meanwhile counts: a watch that is not open any more is judged as ever.
    """
    stalled_run = claim.declared(step).stalled_run
    assert stalled_run is not None
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call(claim, stalled_run)
    if isinstance(result, Done | Failed) and not (trace and isinstance(result, Failed)):
        if not drop_watch(watched):
            return True
        return _record(claim, step, result)
    if not isinstance(result, Wait):
        # A mistake of ours, or a refusal of the question: it decides nothing about what is watched.
        log.warning("stalled_not_told", step=step.name, trace=trace)
        result = Wait(0.0, step.message)
    if not trace:
        look_now(watched)
    step.message = result.message or step.message
    step.save(update_fields=["message"])
    seen = claim.job.data.get("stalled") or {}
    looks = seen.get("looks", 0) + 1 if seen.get("watch") == watched.pk else 1
    at = timezone.now() + timedelta(seconds=max(result.seconds, min(60.0, 15.0 * (1 + looks // 8))))
    claim.job.data["stalled"] = {"watch": watched.pk, "looks": looks}
    return repark_step(claim, watched, look_at=at, data=claim.job.data)


def _fail(claim: Claim, step: Step, failed: Failed) -> bool:
    return begin_undo(claim, step, JobStatus.FAILED, failed.code, failed.message)
