"""Recover: everything that happens to jobs outside of `advance`.

Jobs are cancelled; dispatched again after the loss of a message or a worker; repaired when a wrong clock has written their
times; resumed, ended or retried by staff; and deleted when they are old.
"""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy

from api.domain_errors import ConflictError
from api.messages import Message, decode_message
from api.messages import message as _
from api.shared_metrics import Counter, LastTime

from .. import crash_points, queries
from ..command import Command, UnknownKindError, command_class, step_name
from ..dispatch import dispatch_job, dispatch_jobs, dispatch_poll, wake_jobs
from ..leases import Lease, shorten_leases
from ..models import (
    IN_FLIGHT,
    AsyncTask,
    Job,
    JobLogLine,
    JobStatus,
    PollScope,
    Step,
    StepStatus,
    statuses_before,
)
from ..operations import open_gates
from .children import CANCELLABLE, cancel_descendants, lock_parent
from .claims import Claim, job_row
from .completion import end_job
from .submission import submit

if TYPE_CHECKING:
    from tenants.models import User  # For the annotations alone.

log = structlog.get_logger(__name__)

SWEEPS = Counter("portal_sweeps", "Sweeps, which dispatch overdue jobs again.", ())
JOBS_DISPATCHED_AGAIN = Counter(
    "portal_sweep_dispatched_jobs", "Overdue jobs that sweeps dispatched again.", ()
)
SWEPT = LastTime("portal_sweep_age_seconds", "Seconds since the last sweep ended.", ())

# A job that has been due for this time was not dispatched, or its message was lost.
OVERDUE = timedelta(seconds=3)
DISPATCH_AGAIN_AFTER = timedelta(seconds=20)
SWEEP_LIMIT = 1000
# The longest pause between two polls of one object, also when a cloud asks for a longer one.
LONGEST_POLL_PAUSE = timedelta(minutes=15)
# The longest rest of a poller between two rounds.
LONGEST_POLLER_REST = timedelta(minutes=5)
REPAIR_EVERY_SECONDS = 30.0
# Of the tracebacks of jobs that a worker could not read (`execution.py`, `command.py`); the release before wrote the same.
UNREADABLE_SIGNS = ("LookupError: Job", "No command is registered as")
_repaired_at = -REPAIR_EVERY_SECONDS


def cancel(job: Job) -> bool:
    """Request the cancellation of a job and its descendants; return False when the job can no longer be cancelled.

    They stop at the next step boundary and undo their effects. Compare-and-set on the row, so a job that ends at the same
    time simply ends. A child cannot be cancelled alone, because its parent could then not succeed.
    """
    with transaction.atomic():
        crash_points.crash_point_on_commit("cancelled")
        cancelled = Job.objects.filter(
            pk=job.pk, parent=None, status__in=CANCELLABLE, cancel_requested_at=None
        ).update(cancel_requested_at=Now())
        if cancelled:
            cancel_descendants(job.pk)
            wake_jobs([job.pk])
    return bool(cancelled)


# --- The sweep ----------------------------------------------------------------------------------------------


def sweep() -> int:
    """Dispatch every overdue job again; return how many.

    Because of the sweep, the broker may lose all messages: after lost or late messages, a flushed Redis or a killed
    worker, there is a row that is due and unowned.
    A job is dispatched again only after a while, so that sweeps do not multiply the messages of a long queue. One
    statement selects and marks the jobs, so simultaneous sweeps dispatch each job once.
    """
    repair_times_if_due()
    now = Now()
    due = queries.mark_overdue_jobs(
        sorted(IN_FLIGHT), overdue=OVERDUE, again=DISPATCH_AGAIN_AFTER, limit=SWEEP_LIMIT
    )
    crash_points.crash_point("swept")
    dispatch_jobs(due)
    resume_readable_jobs()
    overdue = (
        AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN, next_look_at__lt=now - OVERDUE)
        .order_by()
        .values_list("watcher", "scope")
        .distinct()
    )
    for watcher, scope in overdue:
        dispatch_poll(watcher, scope)
    SWEEPS.increment()
    JOBS_DISPATCHED_AGAIN.increment(by=len(due))
    SWEPT.mark()
    return len(due)


def resume_readable_jobs() -> int:
    """Resume the jobs that a worker of another release could not read, and that this one can; return how many.

    While two releases run side by side, a worker of the older one may claim a job of the newer one. It does nothing with it
    but mark it as stuck, so going on is safe. A job that this release cannot read either stays stuck, for staff to decide.
    """
    unreadable = Q()
    for sign in UNREADABLE_SIGNS:
        unreadable |= Q(traceback__contains=sign)
    resumed = 0
    for job in Job.objects.filter(unreadable, status=JobStatus.STUCK).order_by("created_at")[:SWEEP_LIMIT]:
        if not _is_readable(job):
            continue
        # Another sweep, or a person, may decide at the same time.
        with contextlib.suppress(ConflictError, Job.DoesNotExist), transaction.atomic():
            locked = lock_for_decision(job, "resume")
            _resume(locked, JobStatus.UNDOING if locked.ending else JobStatus.QUEUED)
            _log_message(locked, _("Resumed: this release can read the task."), JobLogLine.Level.INFO)
            resumed += 1
    if resumed:
        log.warning("unreadable_jobs_resumed", count=resumed)
    return resumed


def _is_readable(job: Job) -> bool:
    """Return whether this release knows the kind of a job and all of its steps."""
    try:
        declared = {declaration.name for declaration in command_class(job.kind).steps}
    except UnknownKindError:
        return False
    stored = Step.objects.filter(job=job).values_list("name", flat=True)
    return declared.issuperset(step_name(job.kind, name) for name in stored)


def prune(*, older_than: datetime, kind: str = "", batch: int = 1000) -> int:
    """Delete a batch of jobs (of one kind) that ended before a time, with their dependent rows; return how many."""
    of_kind = {"kind": kind} if kind else {}
    ended = (
        Job.objects.filter(ended_at__lt=older_than, parent=None, **of_kind)
        .order_by("ended_at")
        .values_list("pk", flat=True)
    )
    ids = list(ended[:batch])
    Job.objects.filter(pk__in=ids).delete()
    return len(ids)


# --- Times in the future -------------------------------------------------------------------------------------


def repair_times_if_due() -> None:
    """Repair times, unless this process has done so in the last `REPAIR_EVERY_SECONDS`."""
    global _repaired_at  # noqa: PLW0603 - one value for each process; a second repair does no harm.
    if time.monotonic() - _repaired_at >= REPAIR_EVERY_SECONDS:
        _repaired_at = time.monotonic()
        repair_times_ahead()


def repair_times_ahead() -> int:
    """Correct times that are further in the future than the portal ever writes; return the number of changed rows.

    A database clock that ran ahead and was corrected leaves such times behind: a lease that nobody extends, a poll that is
    due tomorrow, a job that waits until then. For each of them there is a maximum that the portal writes.

    Safe beside workers: a lease is only shortened to the length of a new one, which a living owner goes on to extend, and
    an early poll or dispatch does no harm.
    """
    now = Now()
    repaired = shorten_leases(Job.objects.filter(status__in=IN_FLIGHT)) + shorten_leases(
        PollScope.objects.all()
    )
    resting = PollScope.objects.filter(owner="", lease_until__gt=now + LONGEST_POLLER_REST)
    repaired += resting.update(lease_until=None)
    polls = AsyncTask.objects.filter(
        verdict=AsyncTask.Verdict.OPEN, next_look_at__gt=now + LONGEST_POLL_PAUSE
    )
    # Not to now: a cloud may have requested a pause of hours, which is then reduced to a quarter of an hour.
    repaired += polls.update(next_look_at=now + LONGEST_POLL_PAUSE)
    if too_late := _find_jobs_waiting_too_long():
        repaired += len(too_late)
        wake_jobs(too_late)
    if repaired:
        log.warning("times_ahead_repaired", rows=repaired, reason="The database's clock has gone back.")
    return repaired


def _find_jobs_waiting_too_long() -> list[UUID]:
    """Return the jobs that wait only for a time, and for longer than their commands ever wait."""
    watched = AsyncTask.objects.filter(job=OuterRef("pk"), verdict=AsyncTask.Verdict.OPEN)
    ahead = Job.objects.filter(
        ~Exists(watched),
        status__in=IN_FLIGHT,
        owner="",
        held=False,
        children_open=0,
        not_before__gt=Now() + Command.longest_wait,
    )
    found = []
    for pk, kind in ahead.values_list("pk", "kind")[:1000]:
        try:
            longest = command_class(kind).longest_wait
        except UnknownKindError:
            continue
        if (
            longest <= Command.longest_wait
            or Job.objects.filter(pk=pk, not_before__gt=Now() + longest).exists()
        ):
            found.append(pk)
    return found


# --- Decisions of staff -------------------------------------------------------------------------------------


# Call these functions in the transaction of a service that has locked the job's row.


def allowed_decisions(job: Job) -> list[str]:
    """Return the decisions that staff may make about a job in its present state."""
    if job.status == JobStatus.STUCK:
        return ["resume", "end"]
    if job.status == JobStatus.ERRORED and job.attended_at is None:
        return ["end"] if job.parent_id is not None else ["retry", "end"]
    return []


def lock_for_decision(job: Job, decision: str) -> Job:
    """Lock a job's row, its parent first, and check that the decision is allowed. Raises `DomainError` 409 `wrong_state`."""
    if job.parent_id is not None:
        lock_parent(job)
    crash_points.crash_point_on_commit("decided")
    locked: Job = Job.objects.select_for_update().get(pk=job.pk)
    allowed = allowed_decisions(locked)
    if decision not in allowed:
        raise ConflictError(
            "wrong_state",
            gettext_lazy("The task is in state '%(status)s', which does not allow this decision.")
            % {"status": JobStatus(locked.status).label},
            allowed=allowed,
        )
    return locked


def resume(job: Job, user: User, reason: str) -> Job:
    """Resume a stuck job where it stopped, also during its undo, with new tries and a new deadline.

    Its step runs as `retrying`, because it may have had its effect.
    """
    _resume(job, JobStatus.UNDOING if job.ending else JobStatus.QUEUED)
    _log_decision(job, _("Resumed by %(user)s: %(reason)s"), user, reason)
    return job


def end_stuck(job: Job, user: User, reason: str, *, undo: bool) -> Job:
    """End a stuck job as failed and free its locks; with `undo`, undo its effects first.

    Without `undo`, nothing is changed in external systems: staff are responsible for their state.
    Raises `DomainError` 409 `children_open` while children of the job have not ended.
    """
    if undo:
        # A job that was not being undone is cancelled when it continues. One that was only continues its undo.
        if not job.ending:
            Job.objects.filter(pk=job.pk).update(cancel_requested_at=Now())
            cancel_descendants(job.pk)
        _resume(job, JobStatus.UNDOING if job.ending else JobStatus.QUEUED)
        _log_decision(job, _("Aborted and rolled back by %(user)s: %(reason)s"), user, reason)
        return job
    if job.children_open:
        raise ConflictError(
            "children_open",
            gettext_lazy(
                "%(count)s of its subtasks have not ended. Abort it with rollback, which cancels them."
            )
            % {"count": job.children_open},
        )
    _log_decision(job, _("Aborted without rollback by %(user)s: %(reason)s"), user, reason)
    steps = list(Step.objects.filter(job=job).order_by("position"))
    for step in steps:
        if step.status == StepStatus.PENDING:
            step.status = StepStatus.SKIPPED
        elif step.status not in {StepStatus.SUCCEEDED, StepStatus.UNDONE, StepStatus.SKIPPED}:
            step.status, step.ended_at = StepStatus.FAILED, timezone.now()
    job.outcome_code, job.outcome_message = "ended_by_staff", reason
    unowned = Lease(job_row(job.pk), owner="")
    try:
        with transaction.atomic():
            end_job(Claim(job, unowned, steps, _load_command(job)), JobStatus.FAILED)
    except Exception:
        # Staff must be able to end a job whose command raises in its hook.
        log.exception("failed_hook_errored", job_id=str(job.pk))
        _log_message(job, _("The command could not record its failure. Check the state of its resource."))
        end_job(Claim(job, unowned, steps, Command()), JobStatus.FAILED)
    return job


def mark_handled(job: Job, user: User, reason: str) -> Job:
    """Note that an errored job has been dealt with; it no longer needs attention."""
    Job.objects.filter(pk=job.pk).update(attended_at=Now())
    _log_decision(job, _("Marked as handled by %(user)s: %(reason)s"), user, reason)
    return job


def retry(job: Job, user: User, reason: str) -> Job:
    """Submit the command of an errored job again, as a new job. Raises `BusyError`, `NotValidError`, 409 `unknown_kind`, `gone`."""
    command = _load_command(job)
    if type(command) is Command:
        raise ConflictError(
            "unknown_kind",
            gettext_lazy("This release does not know the command '%(kind)s'.") % {"kind": job.kind},
        )
    try:
        with open_gates():  # The command has passed them, and the retry is a decision of staff.
            submission = submit(command, tenant=job.tenant, user=user)
    except ObjectDoesNotExist:
        # The undo of a creation has deleted the row that the command refers to.
        raise ConflictError(
            "gone", gettext_lazy("The resource no longer exists. Start the operation again.")
        ) from None
    if not submission.joined:
        Job.objects.filter(pk=submission.job.pk).update(retry_of=job)
    Job.objects.filter(pk=job.pk).update(attended_at=Now())
    _log_decision(job, _("Retried by %(user)s: %(reason)s"), user, reason)
    _log_message(submission.job, _("Retries task %(job)s.") % {"job": job.pk}, JobLogLine.Level.INFO)
    return submission.job


def _resume(job: Job, status: JobStatus) -> None:
    """Make a stuck job due. Its attempt is 1, not 0, so that the step knows that it may have run before."""
    command = _load_command(job)
    code, stored, trace = job.data.pop("failure", ["", "", ""])
    stuck = Job.objects.filter(pk=job.pk, status=JobStatus.STUCK, status__in=statuses_before(status))
    if not stuck.update(
        status=status,
        attempt=1,
        not_before=Now(),
        deadline=max(job.deadline, timezone.now() + command.deadline),
        data=job.data,
        outcome_code=code,
        outcome_message=decode_message(stored),
        traceback=trace,
    ):
        raise RuntimeError(f"Job {job.pk} is not stuck any more although its row was locked.")
    Step.objects.filter(job=job, status__in=[StepStatus.WAITING, StepStatus.UNDOING]).update(
        tries=0, deadline=None
    )
    dispatch_job(job)


def _load_command(job: Job) -> Command:
    """Return the job's command, or one that does nothing when this release cannot read it."""
    try:
        command = command_class(job.kind).from_params(job.params)
    except (UnknownKindError, TypeError):
        command = Command()
    command.job, command.data = job, job.data
    return command


def _log_decision(job: Job, template: Message, user: User, reason: str) -> None:
    _log_message(job, template % {"user": user.get_username(), "reason": reason})


def _log_message(job: Job, message: str, level: str = JobLogLine.Level.WARNING) -> None:
    JobLogLine.objects.create(job=job, level=level, message=message)
