"""The ownership of a job by a worker: claiming the job, running its steps' code, writing to it, releasing it.

It also contains the watches of steps that wait for an external object.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, Field, Model, Q, QuerySet, When
from django.db.models.functions import Least, Now
from django.utils import timezone
from django.utils.functional import Promise

from api.messages import message as _

from .. import crash_points, fairness, queries
from ..command import STALLED_AFTER, Command, Done, Result, StepDeclaration, Wait, Watch, declared_step_title
from ..dispatch import dispatch_job, dispatch_poll, wake_jobs
from ..leases import Lease, LeaseLostError, lease_duration, renewal
from ..models import AsyncTask, Job, JobLogLine, JobStatus, PollScope, Step, StepStatus, statuses_before
from ..polling import FIRST_POLL_SECONDS
from ..sanitizing import sanitize_data, sanitize_result, sanitize_text

# The key in a job's data by which `holding.py` marks the jobs of a restored database.
RESTORED = "restored"
# Messages may be delivered a little early. Without this tolerance, the job would wait for the next sweep.
EARLY_MESSAGE = timedelta(milliseconds=150)

SomeModel = TypeVar("SomeModel", bound=Model)


class FencedError(Exception):
    """The write of a worker was refused, because another worker has claimed the job."""


@dataclass(slots=True)
class Claim:
    """A job that this worker owns: its row, the lease of the row, its steps and its command."""

    job: Job
    lease: Lease
    steps: list[Step]
    command: Command
    # The steps without an effect that can be undone.
    skipped_undos: set[str] = field(default_factory=set)

    def declaration(self, step: Step) -> StepDeclaration:
        """Return the declaration of a step."""
        return next(declaration for declaration in self.command.steps if declaration.name == step.name)

    def write(self, **columns: Any) -> None:
        """Write the job's row. Raises `FencedError` when another worker owns it, or a new status is not allowed."""
        if not self.lease.write(_legal_move(columns), **columns):
            raise FencedError

    def record(self, step: Step) -> None:
        """Write a step and the job's data, and begin a new attempt. Raises `FencedError`."""
        with transaction.atomic():
            self.write(data=self.job.data, attempt=1, **renewal())
            step.save()
        self.job.attempt = 1

    def release(self, condition: Q | None = None, /, **columns: Any) -> bool:
        """Write the row and release it; return False, with the row still owned, when it does not meet the condition.

        Raises `FencedError`.
        """
        columns = {"attempt": 0, "rung_at": None, **columns}
        if self.lease.release(_legal_move(columns) & (condition or Q()), **columns):
            return True
        if condition is None or not self.lease.held_row.exists():
            raise FencedError
        return False

    def log_message(self, message: str, level: str = JobLogLine.Level.INFO) -> None:
        """Append a line to the job's log."""
        JobLogLine.objects.create(job=self.job, level=level, message=message)


def _legal_move(columns: dict[str, Any]) -> Q:
    return Q(status__in=statuses_before(columns["status"])) if "status" in columns else Q()


# --- Claiming ----------------------------------------------------------------------------------------------


def job_row(job_id: UUID) -> QuerySet[Job]:
    """Return the queryset of a job's row, for a lease."""
    return Job.objects.filter(pk=job_id)


def claim_job(lease: Lease, job_id: UUID) -> tuple[Job, list[Step]] | None:
    """Claim a due job without an owner or with an expired lease; return it with its steps, or None."""
    rows = queries.claim_job(
        job_id, lease.owner, lease=lease_duration(), early=EARLY_MESSAGE, columns=_COLUMNS
    )
    if not rows:
        return None
    width = len(_JOB_FIELDS)
    job = _build_instance(Job, _JOB_FIELDS, rows[0][:width])
    steps = [_build_instance(Step, _STEP_FIELDS, row[width:]) for row in rows if row[width] is not None]
    for step in steps:
        step.job = job
    return job, steps


_JOB_FIELDS: Sequence[Field[Any, Any]] = Job._meta.concrete_fields  # noqa: SLF001 - documented API.
_STEP_FIELDS: Sequence[Field[Any, Any]] = Step._meta.concrete_fields  # noqa: SLF001
_COLUMNS = ", ".join(
    [f"tasks_job.{field.column}" for field in _JOB_FIELDS]
    + [f"tasks_step.{field.column}" for field in _STEP_FIELDS]
)


def _build_instance(
    model: type[SomeModel], fields: Sequence[Field[Any, Any]], row: Sequence[Any]
) -> SomeModel:
    """Return a model's instance from its columns, as the ORM does, without compiling a query for each claim."""
    values = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, row, strict=True)
    ]
    return model.from_db(connection.alias, [field.attname for field in fields], values)


# --- Running a step's code ---------------------------------------------------------------------------------


def call_step(claim: Claim, function: Any) -> tuple[Result | None, str]:
    """Run a step's code outside of any transaction; return its result, or None and the traceback after a bug in the code.

    The result and the job's data are sanitized, so that the database can store them: see `sanitizing.py`.
    """
    if connection.in_atomic_block:
        raise RuntimeError("A step would run inside a transaction; advance() must be called outside of any.")
    result: Result | None
    trace = ""
    try:
        result = function(claim.command) or Done()
    except LeaseLostError:
        raise  # This worker must not write anything more.
    except Exception as error:  # noqa: BLE001 - any exception ends or delays the job, but never the worker.
        trace = sanitize_text(traceback.format_exc(limit=30))
        result = claim.command.translate(error)
    sanitize_data(claim.job.data)
    return sanitize_result(result), trace


def internal_error_message() -> str:
    """Return the message for users after a bug of the portal. Staff can read the traceback."""
    return _("Internal error.")


def describe_progress(step: Step, watched: AsyncTask | None = None) -> dict[str, str | Promise]:
    """Return a step's title and its last known state, as values for a message."""
    last = (
        _("The cloud last reported %s.") % watched.last_status
        if watched and watched.last_status
        else step.message
    )
    return {"step": declared_step_title(step.job.kind, step.name), "last": last}


def back_off(tries: int, *, first: float = 1.0, limit: float = 60.0) -> float:
    """Return the seconds before the next try, doubled with each try up to a limit."""
    return float(min(limit, first * 2 ** min(tries, 16)))


# --- Releasing a job ---------------------------------------------------------------------------------------


def park_step(
    claim: Claim, step: Step, result: Wait | Watch, step_status: StepStatus, *, is_failed_try: bool
) -> None:
    """Write that a step waits, and release the job. `is_failed_try`: its last try failed."""
    assert step.deadline is not None
    undoing = claim.job.status == JobStatus.UNDOING
    # Only failed tries increase the back-off. A step that waits for progress has not failed.
    step.status, step.tries = step_status, step.tries + 1 if is_failed_try else 0
    with transaction.atomic():
        crash_points.crash_point_on_commit("recorded")
        # The row is written first, so that a worker without a valid claim fails here, and not at the existing watch.
        due: Any = step.deadline
        if isinstance(result, Wait):
            due = Now() + timedelta(seconds=result.seconds)
        elif not undoing and claim.declaration(step).stalled_run is not None:
            due = Least(step.deadline, Now() + STALLED_AFTER)
        claim.release(
            status=JobStatus.UNDOING if undoing else JobStatus.WAITING,
            not_before=due
            if undoing
            else due_unless_cancelled(Least(due, claim.job.deadline, step.deadline)),
            data=claim.job.data,
        )
        if isinstance(result, Watch):
            AsyncTask.objects.create(
                job=claim.job,
                step_name=step.name,
                undo=undoing,
                watcher=result.watcher,
                scope=result.scope,
                object_id=result.object_id,
                until=sorted(result.until),
                unless=sorted(result.unless),
                next_look_at=Now() + timedelta(seconds=FIRST_POLL_SECONDS),
                expires_at=step.deadline,
            )
            dispatch_poll(result.watcher, result.scope, after=FIRST_POLL_SECONDS)
        else:
            dispatch_job(claim.job, after=result.seconds)
        step.save()
    if not undoing:
        check_cancelled(claim.job)


def repark_step(
    claim: Claim,
    watched: AsyncTask,
    *,
    stalled_at: datetime | None = None,
    data: dict[str, Any] | None = None,
) -> bool:
    """Release a job that was dispatched too early or twice; return True when its watch is already decided.

    `stalled_at` is the time of the next call of the step's `stalled`; `data` is the job's data if it has changed.

    No wake-up is lost: the poller locks the watch, decides it, and then wakes an unowned job. This function locks the same
    row first, so either it sees the decision, or the poller wakes the job after the release.
    """
    with transaction.atomic():
        verdicts = (
            AsyncTask.objects.select_for_update().filter(pk=watched.pk).values_list("verdict", flat=True)
        )
        if verdicts[0] != AsyncTask.Verdict.OPEN:
            return True
        undoing = claim.job.status == JobStatus.UNDOING
        due = watched.expires_at if undoing else min(watched.expires_at, claim.job.deadline)
        if stalled_at is not None:
            due = min(due, stalled_at)
        columns: dict[str, Any] = {} if data is None else {"data": data}
        claim.release(
            status=JobStatus.UNDOING if undoing else JobStatus.WAITING,
            not_before=due if undoing else due_unless_cancelled(due),
            **columns,
        )
        if stalled_at is not None and data is not None:
            # Repeated calls of `stalled` are few and should be on time. The first one is left to the sweep.
            dispatch_job(claim.job, after=max(0.0, (stalled_at - timezone.now()).total_seconds()))
    return False


def park_job(claim: Claim) -> None:
    """Release a job whose tenant holds its share of the worker (`fairness.py`), as if the job had not been claimed."""
    job = claim.job
    claim.release(
        status=JobStatus.UNDOING if job.status == JobStatus.UNDOING else JobStatus.WAITING,
        # The attempts before this claim still count.
        attempt=job.attempt - 1,
        # The time of a child counts from its beginning.
        started_at=job.started_at if any(step.started_at for step in claim.steps) else None,
        parked=True,
        not_before=due_unless_cancelled(Now() + timedelta(seconds=fairness.PARKED_SECONDS)),
    )
    fairness.dispatch_parked_jobs(job.tenant_id, job.queue)


def due_unless_cancelled(due: Any) -> Case:
    """Return the expression for the time at which a released job is due: now if it was cancelled, otherwise `due`.

    The statement that releases the row evaluates it. A cancel before that statement is seen by it, and a cancel after it
    finds an unowned job and wakes it. So no cancel is missed, even if the worker dies right after the commit.
    """
    return Case(When(cancel_requested_at__isnull=False, then=Now()), default=due)


def check_cancelled(job: Job) -> None:
    """Wake a job that was cancelled while a step ran, so that it does not wait until the step is due."""
    if Job.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists():
        wake_jobs([job.pk])


# --- Watches -----------------------------------------------------------------------------------------------


def find_watch(job: Job, step: Step, *, undo: bool = False) -> AsyncTask | None:
    """Return the last watch of a step or of its undo, or None."""
    return AsyncTask.objects.filter(job=job, step_name=step.name, undo=undo).order_by("-id").first()


def stalled_time(claim: Claim, step: Step, watched: AsyncTask) -> datetime | None:
    """Return the time from which `stalled` is called for an open watch; None when the step does not declare `stalled`."""
    if claim.declaration(step).stalled_run is None:
        return None
    # This is the first time. For later ones, the job's `not_before` is set, so it is not claimed earlier.
    return watched.created_at + STALLED_AFTER


def drop_watch(watched: AsyncTask) -> bool:
    """Drop a watch, because the command knows the outcome; return False when the poller has already decided it."""
    still_open = AsyncTask.objects.filter(pk=watched.pk, verdict=AsyncTask.Verdict.OPEN)
    return bool(still_open.update(verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()))


def drop_watches(job: Job) -> None:
    """Drop all open watches of a job."""
    AsyncTask.objects.filter(job=job, verdict=AsyncTask.Verdict.OPEN).update(
        verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()
    )


def poll_now(watched: AsyncTask) -> None:
    """Poll the scope of a watch now if its polls are postponed after errors: the external system answers again."""
    if not PollScope.objects.filter(watcher=watched.watcher, scope=watched.scope, failures__gt=0).exists():
        return
    with transaction.atomic():
        AsyncTask.objects.filter(
            watcher=watched.watcher,
            scope=watched.scope,
            verdict=AsyncTask.Verdict.OPEN,
            next_look_at__gt=Now(),
        ).update(next_look_at=Now())
        dispatch_poll(watched.watcher, watched.scope)
