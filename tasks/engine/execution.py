"""Run: advancing a job, step by step, as far as it goes without waiting."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from .. import crash_points, fairness
from ..command import Command, Done, Failed, Result, Spawn, Wait, Watch, command_class
from ..leases import Lease, LeaseLostError
from ..models import AsyncTask, Job, JobStatus, Step, StepStatus
from ..polling import observe_object, poll_once_more
from .children import judge_children, spawn_children, wait_for_children
from .claims import (
    Claim,
    FencedError,
    call_step,
    claim_job,
    describe_progress,
    drop_watch,
    find_watch,
    internal_error_message,
    job_row,
    park_job,
    park_step,
    poll_now,
    repark_step,
    stalled_time,
)
from .completion import begin_undo, end_job, mark_stuck, undo_step

log = structlog.get_logger(__name__)


def advance(job_id: UUID) -> None:
    """Advance a job as far as it goes without waiting.

    Safe to call at any time, from anywhere, by any number of workers at once: the claim is one statement, and a worker
    that does not get the row has nothing to do.
    """
    lease = Lease(job_row(job_id))
    claimed = claim_job(lease, job_id)
    if claimed is None:
        return
    job, steps = claimed
    only_ends = job.cancel_requested_at is not None and not any(step.started_at for step in steps)
    if not only_ends and not fairness.acquire_slot(job.tenant_id, job.queue):
        with contextlib.suppress(FencedError):
            park_job(Claim(job, lease, steps, Command()))
        return
    crash_points.crash_point("claimed")
    structlog.contextvars.bind_contextvars(job_id=str(job.id), kind=job.kind, request_id=job.request_id)
    with (
        lease.kept_alive(guard_effects=True),
        translation.override(job.language or settings.LANGUAGE_CODE),
    ):
        try:
            _advance_claimed(job, lease, steps)
        except FencedError:
            log.warning("fenced", owner=lease.owner, attempt=job.attempt)
        except LeaseLostError:
            # The worker that has claimed it meanwhile goes on with it; if none has, the sweep dispatches it.
            log.warning("lease_lost", owner=lease.owner, attempt=job.attempt)
        finally:
            structlog.contextvars.unbind_contextvars("job_id", "kind", "request_id")
            if not only_ends:
                fairness.release_slot(job.tenant_id, job.queue)


def rename_steps(job: Job, steps: list[Step], renamed: Mapping[str, str]) -> None:
    """Give the steps of a job that the release before has begun the names that they have now, wherever these are stored.

    Safe to repeat: names that are new already are not in `renamed`. A worker of the release before that claims the job
    afterwards does not know the new names and leaves it to a person; workers are changed before jobs go on.
    """
    old = [step for step in steps if step.name in renamed]
    if not old:
        return
    with transaction.atomic():
        for step in old:
            job.children.filter(parent_step=step.name).update(parent_step=renamed[step.name])
            job.async_tasks.filter(step_name=step.name).update(step_name=renamed[step.name])
            step.name = renamed[step.name]
        Step.objects.bulk_update(old, ["name"])
    if job.data.get("unrecorded") in renamed:
        job.data["unrecorded"] = renamed[job.data["unrecorded"]]


def _advance_claimed(job: Job, lease: Lease, steps: list[Step]) -> None:
    try:
        command = command_class(job.kind).from_params(job.params)
        command.job, command.data = job, job.data
        rename_steps(job, steps, command.renamed_steps)
        claim = Claim(job, lease, steps, command)
        if job.parent_id is not None and job.started_at is not None:
            # A child's time counts from its own beginning; it may have been held for long.
            job.deadline = min(job.deadline, job.started_at + command.deadline)
        if {step.name for step in steps} - {declared.name for declared in command.steps}:
            raise LookupError(f"Job {job.id} has steps that {job.kind} no longer declares.")
    except Exception:
        # A row that this release cannot read has had no effect yet: a person has to decide.
        log.exception("job_unreadable")
        claim = Claim(job, lease, steps, Command())
        mark_stuck(
            claim,
            _("This release cannot read the task. An administrator must decide."),
            trace=traceback.format_exc(limit=20),
        )
        return
    if job.attempt > settings.JOB_ATTEMPT_CAP:
        mark_stuck(
            claim,
            _("The worker stopped unexpectedly %(count)s times at this step. An administrator must decide.")
            % {"count": job.attempt - 1},
        )
        return
    going_on = True
    while going_on:
        going_on = undo_step(claim) if claim.job.status == JobStatus.UNDOING else run_step(claim)


def run_step(claim: Claim) -> bool:
    """Run the next step of a job that goes forward; return whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = next((step for step in claim.steps if step.status != StepStatus.SUCCEEDED), None)
    if step is None:
        return end_job(claim, JobStatus.SUCCEEDED)
    begun = job.attempt > 1 or step.status != StepStatus.PENDING
    if begun:
        # Only a step that says Failed is sure of having had no effect; its undo must ask the outside.
        job.data["unrecorded"] = step.name
    going_on = _decide_without_running(claim, step, begun=begun)
    if going_on is not None:
        return going_on
    now = timezone.now()
    command.retrying, command.tries = begun, step.tries
    step.started_at = step.started_at or now
    step.deadline = step.deadline or now + claim.declared(step).deadline
    result, trace = call_step(claim, claim.declared(step).run)
    crash_points.crash_point("called")
    if result is None:
        job.data["unrecorded"] = step.name
        log.error("step_errored", step=step.name, trace=trace)
        return begin_undo(
            claim, step, JobStatus.ERRORED, "internal_error", internal_error_message(), trace=trace
        )
    return _record(claim, step, result, failed=bool(trace))


def _decide_without_running(claim: Claim, step: Step, *, begun: bool) -> bool | None:
    """Do what is decided before a step's code runs; return whether there is more to do, or None when the code has to run."""
    job, now = claim.job, timezone.now()
    late = step.deadline is not None and step.deadline <= now
    if job.children_open:
        over = late or job.deadline <= now or job.cancel_requested_at is not None
        return wait_for_children(claim, cancelling=over)
    if job.cancel_requested_at is not None:
        return begin_undo(claim, step if begun else None, JobStatus.CANCELLED, "cancelled", _("Canceled."))
    watched = find_watch(job, step) if step.status == StepStatus.WAITING else None
    if job.deadline <= now:
        going_on = _try_once_more(claim, step, watched)
        if going_on is not None:
            return going_on
        message = _("It did not end within its time limit. %s") % step.message
        return _fail(claim, step, Failed("deadline", message))
    if step.children:
        return _judge_children(claim, step)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _judge_watch(claim, step, watched)
    if late:
        going_on = _try_once_more(claim, step, None)
        if going_on is not None:
            return going_on
        message = _("'%(step)s' timed out. %(last)s") % describe_progress(step)
        return _fail(claim, step, Failed("timeout", message))
    if job.parent_id is not None and not begun and step.position == 0 and (refused := _validate_child(claim)):
        ending, failed, trace = refused
        return begin_undo(claim, None, ending, failed.code, failed.message, trace=trace)
    return None


def _try_once_more(claim: Claim, step: Step, watched: AsyncTask | None) -> bool | None:
    """Check, before a step that is out of time is undone, whether it has succeeded after all; return None when it has not.

    The outside may have reached the status since the last poll, above all when it had asked for a long pause. A watch is
    polled; a step that was waiting to run again runs a last time, as it might have a moment before its deadline: it is
    safe to repeat, and whatever it does is undone with it unless it returns `Done`.
    """
    if step.status != StepStatus.WAITING or step.children:
        return None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN:
        if poll_once_more(watched) is None:
            return None
        return _judge_watch(claim, step, watched)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _judge_watch(claim, step, watched)
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call_step(claim, claim.declared(step).run)
    crash_points.crash_point("called")
    if isinstance(result, Watch):
        return _record(claim, step, Done()) if _is_reached(claim, step, result) else None
    if isinstance(result, Failed) and not trace:
        return _record(claim, step, result)
    return _record(claim, step, result) if isinstance(result, Done) else None


def _is_reached(claim: Claim, step: Step, watch: Watch) -> bool:
    """Return whether the object that a step wants to watch, for which there is no more time, is as it should be already."""
    seen = observe_object(watch.watcher, watch.scope, watch.object_id)
    if seen is None or seen.status not in watch.until:
        return False
    claim.job.data["observed"] = {**seen.data, "status": seen.status, "fault": seen.fault}
    return True


def _validate_child(claim: Claim) -> tuple[JobStatus, Failed, str] | None:
    """Return why a child cannot begin: it is validated now, because children before it may have created what it needs."""
    try:
        with transaction.atomic():
            refusals = claim.command.validate()
    except Exception:
        log.exception("validation_errored")
        return (
            JobStatus.ERRORED,
            Failed("internal_error", internal_error_message()),
            traceback.format_exc(limit=30),
        )
    if not refusals:
        return None
    messages = " ".join(str(refusal.message) for refusal in refusals)
    return JobStatus.FAILED, Failed(refusals[0].code, messages), ""


def _record(claim: Claim, step: Step, result: Result, *, failed: bool = False) -> bool:
    """Write a step's result; return whether there is more to do at once. `failed`: it stands for an exception."""
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
            return end_job(claim, JobStatus.SUCCEEDED, also=step)
        claim.record(step)
        claim.job.cancel_requested_at = Job.objects.values_list("cancel_requested_at", flat=True).get(
            pk=claim.job.pk
        )
        crash_points.crash_point("recorded")
        return True
    if isinstance(result, Spawn):
        refused = spawn_children(claim, step, result)
        return _fail(claim, step, refused) if refused else False
    park_step(claim, step, result, StepStatus.WAITING, failed=failed)
    return False


def _judge_children(claim: Claim, step: Step) -> bool:
    """Go on from how a step's children have ended; return whether there is more to do at once."""
    verdict = judge_children(claim, step)
    if verdict is None:
        return _record(claim, step, Done(step.message))
    claim.job.data.pop("unrecorded", None)
    ending, failed, trace = verdict
    return begin_undo(claim, step, ending, failed.code, failed.message, trace=trace)


def _judge_watch(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Go on from what the poller has decided about a step's watch; return whether there is more to do at once."""
    if watched.observation:
        claim.job.data["observed"] = watched.observation
    if watched.verdict == AsyncTask.Verdict.REACHED:
        return _record(claim, step, Done())
    if watched.verdict == AsyncTask.Verdict.REFUSED and watched.observation.get("failed_looks"):
        claim.job.data.pop("observed", None)
        message = _("The cloud's answer could not be read: %(reason)s") % {
            "reason": watched.observation.get("fault", "")
        }
        return _fail(claim, step, Failed("unreadable", message))
    if watched.verdict == AsyncTask.Verdict.REFUSED:
        return _fail(claim, step, Failed("refused_by_cloud", _explain_refusal(claim, watched)))
    if watched.expires_at <= timezone.now():
        if poll_once_more(watched) is not None:
            return _judge_watch(claim, step, watched)
        return _fail(
            claim,
            step,
            Failed("timeout", _("'%(step)s' timed out. %(last)s") % describe_progress(step, watched)),
        )
    due = stalled_time(claim, step, watched)
    if due is not None and due <= timezone.now():
        return _ask_stalled(claim, step, watched)
    return repark_step(claim, watched, stalled_at=due)


def _explain_refusal(claim: Claim, watched: AsyncTask) -> str:
    """Return why the outside has decided against the job: as its command explains it, or else as the engine does."""
    fault = str(watched.observation.get("fault") or "")
    try:
        explanation = claim.command.explain(watched.last_status, fault)
    except LeaseLostError:
        raise
    except Exception:  # Whatever ails the explanation, the job ends.
        log.warning("explanation_failed", exc_info=True)
        explanation = ""
    return explanation or _("The cloud reports %(status)s: %(fault)s") % {
        "status": watched.last_status,
        "fault": fault or _("no reason was given"),
    }


def _ask_stalled(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Ask the command about a watch that is still open, and go on from its answer.

    What the poller decides meanwhile counts: a watch that is not open any more is judged as ever.
    """
    stalled_run = claim.declared(step).stalled_run
    assert stalled_run is not None
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call_step(claim, stalled_run)
    if isinstance(result, Done | Failed) and not (trace and isinstance(result, Failed)):
        if not drop_watch(watched):
            return True
        return _record(claim, step, result)
    if not isinstance(result, Wait):
        # A bug of ours, or a refusal of the question: it decides nothing about the watch.
        log.warning("stalled_not_answered", step=step.name, trace=trace)
        result = Wait(0.0, step.message)
    if not trace:
        poll_now(watched)
    step.message = result.message or step.message
    step.save(update_fields=["message"])
    seen = claim.job.data.get("stalled") or {}
    polls = seen.get("looks", 0) + 1 if seen.get("watch") == watched.pk else 1
    at = timezone.now() + timedelta(seconds=max(result.seconds, min(60.0, 15.0 * (1 + polls // 8))))
    claim.job.data["stalled"] = {"watch": watched.pk, "looks": polls}
    return repark_step(claim, watched, stalled_at=at, data=claim.job.data)


def _fail(claim: Claim, step: Step, failed: Failed) -> bool:
    return begin_undo(claim, step, JobStatus.FAILED, failed.code, failed.message)
