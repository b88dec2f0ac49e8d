"""A job in the hands of one worker: claiming it, running its steps' code, writing to it, giving it back.

Also the watches of steps that wait for something outside, and why no decision about one is missed.
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
from django.utils.translation import gettext as _

from .. import crash_points, fairness, queries
from ..command import STALLED_AFTER, Command, Done, Result, StepDeclaration, Wait, Watch, step_title
from ..dispatch import dispatch_job, dispatch_poll, wake_jobs
from ..leases import Lease, LeaseLostError, lease_duration, renewal
from ..models import AsyncTask, Job, JobLogLine, JobStatus, PollScope, Step, StepStatus, statuses_before
from ..polling import FIRST_POLL_SECONDS
from ..sanitizing import sanitize_data, sanitize_result, sanitize_text

# A message may come a little before its time; without this it would be lost until the next sweep.
EARLY_MESSAGE = timedelta(milliseconds=150)

SomeModel = TypeVar("SomeModel", bound=Model)


class FencedError(Exception):
    """A worker's claim has passed to another worker; what it wanted to write is refused."""


@dataclass(slots=True)
class Claim:
    """A job that this worker owns: the row, the lease of it, its steps, and the command that they are steps of."""

    job: Job
    lease: Lease
    steps: list[Step]
    command: Command
    # Steps whose undo has found nothing to undo.
    passed_over: set[str] = field(default_factory=set)

    def declared(self, step: Step) -> StepDeclaration:
        """Return the declaration of a step."""
        return next(declared for declared in self.command.steps if declared.name == step.name)

    def write(self, **columns: Any) -> None:
        """Write the job's row if this claim still owns it, and if a new status is a legal move. Raises `FencedError`."""
        if not self.lease.write(_legal_move(columns), **columns):
            raise FencedError

    def record(self, step: Step) -> None:
        """Write a step and the job's data, and begin a new attempt. Raises `FencedError`."""
        with transaction.atomic():
            self.write(data=self.job.data, attempt=1, **renewal())
            step.save()
        self.job.attempt = 1

    def release(self, condition: Q | None = None, /, **columns: Any) -> bool:
        """Write the row and own it no longer; False, and still owned, when the row does not meet a condition.

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
    """Return the query for a job's row, whose lease a claim holds."""
    return Job.objects.filter(pk=job_id)


def claim_job(lease: Lease, job_id: UUID) -> tuple[Job, list[Step]] | None:
    """Claim a job that is due, and that nobody owns or whose owner let its lease run out; return it with its steps."""
    rows = queries.claim_job(
        job_id, lease.owner, lease=lease_duration(), early=EARLY_MESSAGE, columns=_COLUMNS
    )
    if not rows:
        return None
    width = len(_JOB_FIELDS)
    job = _load(Job, _JOB_FIELDS, rows[0][:width])
    steps = [_load(Step, _STEP_FIELDS, row[width:]) for row in rows if row[width] is not None]
    for step in steps:
        step.job = job
    return job, steps


_JOB_FIELDS: Sequence[Field[Any, Any]] = Job._meta.concrete_fields  # noqa: SLF001 - documented API.
_STEP_FIELDS: Sequence[Field[Any, Any]] = Step._meta.concrete_fields  # noqa: SLF001
_COLUMNS = ", ".join(
    [f"tasks_job.{field.column}" for field in _JOB_FIELDS]
    + [f"tasks_step.{field.column}" for field in _STEP_FIELDS]
)


def _load(model: type[SomeModel], fields: Sequence[Field[Any, Any]], row: Sequence[Any]) -> SomeModel:
    """Return a model's instance from its columns, as the ORM would make it, without compiling a query for each claim."""
    values = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, row, strict=True)
    ]
    return model.from_db(connection.alias, [field.attname for field in fields], values)


# --- Running a step's code ---------------------------------------------------------------------------------


def call_step(claim: Claim, function: Any) -> tuple[Result | None, str]:
    """Run a step's code with no transaction open; return None and the traceback when the code itself is wrong.

    Whatever the step returns or remembers can be stored afterwards: see `sanitizing.py`.
    """
    if connection.in_atomic_block:
        raise RuntimeError("A step would run inside a transaction; advance() must be called outside of any.")
    result: Result | None
    trace = ""
    try:
        result = function(claim.command) or Done()
    except LeaseLostError:
        raise  # Nothing more may be written under this claim, and nothing has to be.
    except Exception as error:  # noqa: BLE001 - whatever a step raises ends or delays its job, never its worker.
        trace = sanitize_text(traceback.format_exc(limit=30))
        result = claim.command.translate(error)
    sanitize_data(claim.job.data)
    return sanitize_result(result), trace


def internal_error_message() -> str:
    """Return what people read of an exception of ours; staff read its traceback."""
    return _("Internal error.")


def describe_progress(step: Step, watched: AsyncTask | None = None) -> dict[str, str]:
    """Return a step's title, and the last that is known of it, as values for a message."""
    last = (
        _("The cloud last reported %s.") % watched.last_status
        if watched and watched.last_status
        else step.message
    )
    return {"step": step_title(step.job.kind, step.name), "last": last}


def back_off(tries: int, *, first: float = 1.0, most: float = 60.0) -> float:
    """Return the seconds before the next try: doubled with each one, bounded."""
    return float(min(most, first * 2 ** min(tries, 16)))


# --- Giving a job back -------------------------------------------------------------------------------------


def park_step(
    claim: Claim, step: Step, result: Wait | Watch, step_status: StepStatus, *, failed: bool
) -> None:
    """Write that a step waits, and release the job. `failed`: a try of it came to nothing."""
    assert step.deadline is not None
    undoing = claim.job.status == JobStatus.UNDOING
    # Only what fails is tried less and less often: to wait for something that is on its way is no failure.
    step.status, step.tries = step_status, step.tries + 1 if failed else 0
    with transaction.atomic():
        crash_points.crash_point_on_commit("recorded")
        # The row first: a worker that came too late is refused here, and not by the watch that the job already has.
        due: Any = step.deadline
        if isinstance(result, Wait):
            due = Now() + timedelta(seconds=result.seconds)
        elif not undoing and claim.declared(step).stalled_run is not None:
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
    """Release a job that was dispatched too early or twice; return True when what it waits for is already decided.

    `stalled_at` is when its command is to be asked about it; `data` the job's, when that has changed.

    Why no wake is lost: the poller locks the async task, decides, and then wakes a job that nobody owns. Here the same
    row is locked first, so either the decision is seen, or the poller's wake comes after this has released the job.
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
            # Only a few commands are asked a second time, and that is to be in time; the first time is left to the sweep.
            dispatch_job(claim.job, after=max(0.0, (stalled_at - timezone.now()).total_seconds()))
    return False


def park_job(claim: Claim) -> None:
    """Release a job whose tenant holds its share of the worker (`fairness.py`), as if it had not been claimed."""
    job = claim.job
    claim.release(
        status=JobStatus.UNDOING if job.status == JobStatus.UNDOING else JobStatus.WAITING,
        # What its last claim has left unrecorded stays known.
        attempt=job.attempt - 1,
        # A child's time counts from when it begins.
        started_at=job.started_at if any(step.started_at for step in claim.steps) else None,
        parked=True,
        not_before=due_unless_cancelled(Now() + timedelta(seconds=fairness.PARKED_SECONDS)),
    )
    fairness.dispatch_parked_jobs(job.tenant_id, job.queue)


def due_unless_cancelled(due: Any) -> Case:
    """Return when a job that waits is due: now, if it was cancelled while it was owned, and else at its time.

    It is decided by the statement that releases the row. A cancel before that is seen by it; one after it finds
    a job that nobody owns, and wakes it. So none is slept over, even if the worker dies right after the commit.
    """
    return Case(When(cancel_requested_at__isnull=False, then=Now()), default=due)


def check_cancelled(job: Job) -> None:
    """Wake a job that was cancelled while a step ran: it must not wait for the step's time."""
    if Job.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists():
        wake_jobs([job.pk])


# --- Watches -----------------------------------------------------------------------------------------------


def find_watch(job: Job, step: Step, *, undo: bool = False) -> AsyncTask | None:
    """Return what a step, or its undo, has been waiting for last."""
    return AsyncTask.objects.filter(job=job, step_name=step.name, undo=undo).order_by("-id").first()


def stalled_time(claim: Claim, step: Step, watched: AsyncTask) -> datetime | None:
    """Return from when on the command is asked about a watch that stays open; None when its step does not answer that."""
    if claim.declared(step).stalled_run is None:
        return None
    # Later times are the job's `not_before`: it is not claimed earlier.
    return watched.created_at + STALLED_AFTER


def drop_watch(watched: AsyncTask) -> bool:
    """Stop watching, because the command knows the outcome; return False when the poller has decided about it already."""
    still_open = AsyncTask.objects.filter(pk=watched.pk, verdict=AsyncTask.Verdict.OPEN)
    return bool(still_open.update(verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()))


def drop_watches(job: Job) -> None:
    """Stop watching whatever a job waits for."""
    AsyncTask.objects.filter(job=job, verdict=AsyncTask.Verdict.OPEN).update(
        verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()
    )


def poll_now(watched: AsyncTask) -> None:
    """Have a watch's whole scope polled now, if it is put off because the outside did not answer: it answers again."""
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
