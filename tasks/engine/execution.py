"""Run: advance a job step by step until it has to wait."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from api.messages import join_messages
from api.messages import message as _
from api.tracing import continue_trace

from .. import crash_points, fairness
from ..command import Command, Done, Failed, Result, Spawn, Wait, Watch, command_class
from ..leases import Lease, LeaseLostError
from ..models import FINISHED_STEPS, AsyncTask, Job, JobStatus, Step, StepStatus
from ..polling import observe_object, poll_once_more
from .children import evaluate_children, spawn_children, wait_for_children
from .claims import (
    RESTORED,
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
    """Advance a job until it has to wait.

    Safe to call at any time by any number of workers: the claim is one statement, and a worker that does not get the row
    returns.
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
    with lease.kept_alive(guard_effects=True):
        try:
            with continue_trace(job.traceparent, f"job {job.kind}", **{"portal.job.id": str(job.pk)}):
                _advance_claimed(job, lease, steps)
        except FencedError:
            log.warning("fenced", owner=lease.owner, attempt=job.attempt)
        except LeaseLostError:
            # Another worker may have claimed the job meanwhile; otherwise the sweep dispatches it.
            log.warning("lease_lost", owner=lease.owner, attempt=job.attempt)
        finally:
            structlog.contextvars.unbind_contextvars("job_id", "kind", "request_id")
            if not only_ends:
                fairness.release_slot(job.tenant_id, job.queue)


def rename_steps(job: Job, steps: list[Step], renamed_steps: Mapping[str, str]) -> None:
    """Rename the steps of a job that the previous release has recorded, in all rows that store the names.

    Safe to repeat, because new names are not in `renamed_steps`. A worker of the previous release would not know the new
    names and would mark the job as stuck, so the workers are replaced before the jobs continue.
    """
    old = [step for step in steps if step.name in renamed_steps]
    if not old:
        return
    with transaction.atomic():
        for step in old:
            job.children.filter(parent_step=step.name).update(parent_step=renamed_steps[step.name])
            job.async_tasks.filter(step_name=step.name).update(step_name=renamed_steps[step.name])
            step.name = renamed_steps[step.name]
        Step.objects.bulk_update(old, ["name"])
    if job.data.get("unrecorded") in renamed_steps:
        job.data["unrecorded"] = renamed_steps[job.data["unrecorded"]]


def _advance_claimed(job: Job, lease: Lease, steps: list[Step]) -> None:
    try:
        command = command_class(job.kind).from_params(job.params)
        command.job, command.data = job, job.data
        rename_steps(job, steps, command.renamed_steps)
        claim = Claim(job, lease, steps, command)
        if job.parent_id is not None and job.started_at is not None:
            # The time of a child counts from its beginning, because it may have been held for long.
            job.deadline = min(job.deadline, job.started_at + command.deadline)
        if {step.name for step in steps} - {declaration.name for declaration in command.steps}:
            raise LookupError(f"Job {job.id} has steps that {job.kind} no longer declares.")
    except Exception:
        # This release cannot read the row, so it has done nothing. Staff have to decide.
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
    has_more = True
    while has_more:
        has_more = undo_step(claim) if claim.job.status == JobStatus.UNDOING else run_step(claim)


def run_step(claim: Claim) -> bool:
    """Run the next step of a job that is not being undone; return whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = next((step for step in claim.steps if step.status not in FINISHED_STEPS), None)
    if step is None:
        return end_job(claim, JobStatus.SUCCEEDED)
    # After a restore any step may have run before, also one that the restored database has not begun (`holding.py`).
    begun = job.attempt > 1 or step.status != StepStatus.PENDING or RESTORED in job.data
    if begun:
        # The step may have had an effect, unless it returns Failed. Its undo must check the external system.
        job.data["unrecorded"] = step.name
    has_more = _decide_without_running(claim, step, begun=begun)
    if has_more is not None:
        return has_more
    now = timezone.now()
    command.retrying, command.tries = begun, step.tries
    step.started_at = step.started_at or now
    step.deadline = step.deadline or now + claim.declaration(step).deadline
    result, trace = call_step(claim, claim.declaration(step).run)
    crash_points.crash_point("called")
    if result is None:
        job.data["unrecorded"] = step.name
        log.error("step_errored", step=step.name, trace=trace)
        return begin_undo(
            claim, step, JobStatus.ERRORED, "internal_error", internal_error_message(), trace=trace
        )
    return _record_result(claim, step, result, is_failed_try=bool(trace))


def _decide_without_running(claim: Claim, step: Step, *, begun: bool) -> bool | None:
    """Handle what decides about a step without its code; return whether there is more to do, or None when its code has to run."""
    job, now = claim.job, timezone.now()
    late = step.deadline is not None and step.deadline <= now
    if job.children_open:
        is_cancelling = late or job.deadline <= now or job.cancel_requested_at is not None
        return wait_for_children(claim, cancelling=is_cancelling)
    if job.cancel_requested_at is not None:
        return begin_undo(claim, step if begun else None, JobStatus.CANCELLED, "cancelled", _("Canceled."))
    watched = find_watch(job, step) if step.status == StepStatus.WAITING else None
    if job.deadline <= now:
        has_more = _check_once_more(claim, step, watched)
        if has_more is not None:
            return has_more
        message = _("It did not end within its time limit. %s") % step.message
        return _fail_step(claim, step, Failed("deadline", message))
    if step.children:
        return _continue_after_children(claim, step)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _evaluate_watch(claim, step, watched)
    if late:
        has_more = _check_once_more(claim, step, None)
        if has_more is not None:
            return has_more
        message = _("'%(step)s' timed out. %(last)s") % describe_progress(step)
        return _fail_step(claim, step, Failed("timeout", message))
    if job.parent_id is not None and not begun and step.position == 0 and (refusal := _validate_child(claim)):
        ending, failed, trace = refusal
        return begin_undo(claim, None, ending, failed.code, failed.message, trace=trace)
    return None


def _check_once_more(claim: Claim, step: Step, watched: AsyncTask | None) -> bool | None:
    """Check a last time whether a step that is out of time has succeeded; return None when it has not.

    The object may have reached its status since the last poll, especially when the external system had requested a long
    pause. A watch is polled; a step that was waiting to run again runs a last time. That is safe: steps may be repeated,
    and its effects are undone with it unless it returns `Done`.
    """
    if step.status != StepStatus.WAITING or step.children:
        return None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN:
        if poll_once_more(watched) is None:
            return None
        return _evaluate_watch(claim, step, watched)
    if watched is not None and watched.verdict != AsyncTask.Verdict.DROPPED:
        return _evaluate_watch(claim, step, watched)
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call_step(claim, claim.declaration(step).run)
    crash_points.crash_point("called")
    if isinstance(result, Watch):
        return _record_result(claim, step, Done()) if _is_reached(claim, step, result) else None
    if isinstance(result, Failed) and not trace:
        return _record_result(claim, step, result)
    return _record_result(claim, step, result) if isinstance(result, Done) else None


def _is_reached(claim: Claim, step: Step, watch: Watch) -> bool:
    """Return whether the object that a step wants to watch has already reached an awaited status."""
    observation = observe_object(watch.watcher, watch.scope, watch.object_id)
    if observation is None or observation.status not in watch.until:
        return False
    claim.job.data["observed"] = {
        **observation.data,
        "status": observation.status,
        "fault": observation.fault,
    }
    return True


def _validate_child(claim: Claim) -> tuple[JobStatus, Failed, str] | None:
    """Return why a child cannot begin, or None. It is validated now, because the children before it may create what it needs."""
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
    messages = join_messages(refusal.message for refusal in refusals)
    return JobStatus.FAILED, Failed(refusals[0].code, messages), ""


def _record_result(claim: Claim, step: Step, result: Result, *, is_failed_try: bool = False) -> bool:
    """Write a step's result; return whether there is more to do at once. `is_failed_try`: the step raised an exception."""
    if not isinstance(result, Wait):
        claim.job.data.pop("unrecorded", None)
    if isinstance(result, Failed):
        return _fail_step(claim, step, result)
    if isinstance(result, Spawn) and not result.children:
        result = Done(result.message)
    step.message = result.message
    if isinstance(result, Done):
        step.status = StepStatus.SKIPPED if result.skipped else StepStatus.SUCCEEDED
        step.progress, step.ended_at, step.tries = 100, timezone.now(), 0
        if step.position == len(claim.steps) - 1:
            return end_job(claim, JobStatus.SUCCEEDED, last_step=step)
        claim.record(step)
        claim.job.cancel_requested_at = Job.objects.values_list("cancel_requested_at", flat=True).get(
            pk=claim.job.pk
        )
        crash_points.crash_point("recorded")
        return True
    if isinstance(result, Spawn):
        refusal = spawn_children(claim, step, result)
        return _fail_step(claim, step, refusal) if refusal else False
    park_step(claim, step, result, StepStatus.WAITING, is_failed_try=is_failed_try)
    return False


def _continue_after_children(claim: Claim, step: Step) -> bool:
    """Record the result of a step from its ended children; return whether there is more to do at once."""
    verdict = evaluate_children(claim, step)
    if verdict is None:
        return _record_result(claim, step, Done(step.message))
    claim.job.data.pop("unrecorded", None)
    ending, failed, trace = verdict
    return begin_undo(claim, step, ending, failed.code, failed.message, trace=trace)


def _evaluate_watch(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Continue a step as the verdict of its watch says; return whether there is more to do at once."""
    if watched.observation:
        claim.job.data["observed"] = watched.observation
    if watched.verdict == AsyncTask.Verdict.REACHED:
        return _record_result(claim, step, Done())
    if watched.verdict == AsyncTask.Verdict.REFUSED and watched.observation.get("failed_looks"):
        claim.job.data.pop("observed", None)
        message = _("The cloud's answer could not be read: %(reason)s") % {
            "reason": watched.observation.get("fault", "")
        }
        return _fail_step(claim, step, Failed("unreadable", message))
    if watched.verdict == AsyncTask.Verdict.REFUSED:
        return _fail_step(claim, step, Failed("refused_by_cloud", _explain_refusal(claim, watched)))
    if watched.expires_at <= timezone.now():
        if poll_once_more(watched) is not None:
            return _evaluate_watch(claim, step, watched)
        return _fail_step(
            claim,
            step,
            Failed("timeout", _("'%(step)s' timed out. %(last)s") % describe_progress(step, watched)),
        )
    due = stalled_time(claim, step, watched)
    if due is not None and due <= timezone.now():
        return _check_stalled(claim, step, watched)
    return repark_step(claim, watched, stalled_at=due)


def _explain_refusal(claim: Claim, watched: AsyncTask) -> str:
    """Return why a watch was refused: the explanation of the command, or else the engine's own."""
    fault = str(watched.observation.get("fault") or "")
    try:
        explanation = claim.command.explain(watched.last_status, fault)
    except LeaseLostError:
        raise
    except Exception:  # An error in the explanation must not prevent the end of the job.
        log.warning("explanation_failed", exc_info=True)
        explanation = ""
    return explanation or _("The cloud reports %(status)s: %(fault)s") % {
        "status": watched.last_status,
        "fault": fault or _("no reason was given"),
    }


def _check_stalled(claim: Claim, step: Step, watched: AsyncTask) -> bool:
    """Call the step's `stalled` for an open watch, and handle its result; return whether there is more to do at once.

    A decision of the poller in the meantime has precedence.
    """
    stalled_run = claim.declaration(step).stalled_run
    assert stalled_run is not None
    claim.command.retrying, claim.command.tries = True, step.tries
    result, trace = call_step(claim, stalled_run)
    if isinstance(result, Done | Failed) and not (trace and isinstance(result, Failed)):
        if not drop_watch(watched):
            return True
        return _record_result(claim, step, result)
    if not isinstance(result, Wait):
        # An error in `stalled`, or a refused request, decides nothing about the watch.
        log.warning("stalled_not_answered", step=step.name, trace=trace)
        result = Wait(0.0, step.message)
    if not trace:
        poll_now(watched)
    step.message = result.message or step.message
    step.save(update_fields=["message"])
    stalled = claim.job.data.get("stalled") or {}
    polls = stalled.get("looks", 0) + 1 if stalled.get("watch") == watched.pk else 1
    at = timezone.now() + timedelta(seconds=max(result.seconds, min(60.0, 15.0 * (1 + polls // 8))))
    claim.job.data["stalled"] = {"watch": watched.pk, "looks": polls}
    return repark_step(claim, watched, stalled_at=at, data=claim.job.data)


def _fail_step(claim: Claim, step: Step, failed: Failed) -> bool:
    return begin_undo(claim, step, JobStatus.FAILED, failed.code, failed.message)
