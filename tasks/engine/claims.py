"""A job in the hands of one worker: taking it, writing to it, giving it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, Field, Model, Q, When
from django.db.models.functions import Least, Now
from django.utils import timezone

from .. import crash_points, fairness
from ..command import STALLED_AFTER, Command, StepDeclaration, Wait, Watch
from ..dispatch import dispatch_job, dispatch_poll, wake_jobs
from ..leases import lease
from ..models import AsyncTask, Job, JobLogLine, JobStatus, PollScope, Step, StepStatus, statuses_before
from ..polling import FIRST_LOOK_SECONDS

# A ring may come a little before its time; without this it would be lost until the next sweep.
EARLY_RING = timedelta(milliseconds=150)


SomeModel = TypeVar("SomeModel", bound=Model)


class FencedError(Exception):
    """A worker's claim is no longer its own; what it wanted to write is refused."""


@dataclass(slots=True)
class Claim:
    """A job that this worker owns: the row, its steps, and the command that they are steps of."""

    job: Job
    owner: str
    steps: list[Step]
    command: Command
    # Steps that the undo has found nothing to take back of.
    passed_over: set[str] = field(default_factory=set)

    def declared(self, step: Step) -> StepDeclaration:
        return next(declared for declared in self.command.steps if declared.name == step.name)

    def write(self, **columns: Any) -> None:
        """Write the job's row if it is still this claim's, and if a new status is a legal move. Raises `FencedError`."""
        if not self._write(Q(), columns):
            raise FencedError

    def release(self, condition: Q | None = None, **columns: Any) -> bool:
        """Write the row and own it no longer; False, and still owned, when the row does not meet a condition."""
        free = {"owner": "", "lease_until": None, "attempt": 0, "rung_at": None}
        if self._write(condition or Q(), {**free, **columns}):
            return True
        if condition is None or not self._mine.exists():
            raise FencedError
        return False

    @property
    def _mine(self) -> Any:
        return Job.objects.filter(pk=self.job.pk, owner=self.owner)

    def _write(self, condition: Q, columns: dict[str, Any]) -> int:
        mine = self._mine.filter(condition)
        if "status" in columns:
            mine = mine.filter(status__in=statuses_before(columns["status"]))
        written: int = mine.update(**columns)
        return written

    def log_message(self, message: str, level: str = JobLogLine.Level.INFO) -> None:
        JobLogLine.objects.create(job=self.job, level=level, message=message)


def take(job_id: UUID, owner: str) -> tuple[Job, list[Step]] | None:
    """Own a job that is due and that nobody owns, or whose owner gave no sign of life for a lease; with its steps.

    Two statements in one message to the database, and so one transaction. Why they are two and not one: a statement
    that had to wait for the row sees the row as it is then, but every other table as it was before the wait. Joined to
    the claim, the steps could be from before the last record, and a finished one would run again. The second
    statement begins when the row is ours, and nobody else writes its steps from then on.
    """
    with connection.cursor() as cursor:
        seconds = {"lease": lease().total_seconds(), "early": EARLY_RING.total_seconds()}
        cursor.execute(_CLAIM, {"owner": owner, "job": job_id, **seconds})
        rows = cursor.fetchall()
    if not rows:
        return None
    width = len(_JOB_FIELDS)
    job = _from_row(Job, _JOB_FIELDS, rows[0][:width])
    steps = [_from_row(Step, _STEP_FIELDS, row[width:]) for row in rows if row[width] is not None]
    for step in steps:
        step.job = job
    return job, steps


_JOB_FIELDS: Sequence[Field[Any, Any]] = Job._meta.concrete_fields  # noqa: SLF001 - documented API.
_STEP_FIELDS: Sequence[Field[Any, Any]] = Step._meta.concrete_fields  # noqa: SLF001
_COLUMNS = ", ".join(
    [f"tasks_job.{field.column}" for field in _JOB_FIELDS]
    + [f"tasks_step.{field.column}" for field in _STEP_FIELDS]
)
_CLAIM = f"""
UPDATE tasks_job SET
    status = CASE WHEN status = 'undoing' THEN 'undoing' ELSE 'running' END,
    owner = %(owner)s, lease_until = statement_timestamp() + make_interval(secs => %(lease)s),
    attempt = attempt + 1, rung_at = NULL, held = false, parked = false,
    started_at = COALESCE(started_at, statement_timestamp())
WHERE id = (
    SELECT id FROM tasks_job
    WHERE id = %(job)s AND status IN ('queued', 'running', 'waiting', 'undoing')
      AND (owner = '' OR lease_until < statement_timestamp())
      AND not_before <= statement_timestamp() + make_interval(secs => %(early)s)
    FOR UPDATE SKIP LOCKED
);
SELECT {_COLUMNS} FROM tasks_job LEFT JOIN tasks_step ON tasks_step.job_id = tasks_job.id
WHERE tasks_job.id = %(job)s AND tasks_job.owner = %(owner)s ORDER BY tasks_step.position
"""  # noqa: S608 - the models' own column names.


def _from_row(model: type[SomeModel], fields: Sequence[Field[Any, Any]], row: Sequence[Any]) -> SomeModel:
    """A model's instance from its columns, as the ORM would make it, without compiling a query for each claim."""
    values = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, row, strict=True)
    ]
    return model.from_db(connection.alias, [field.attname for field in fields], values)


def park_step(
    claim: Claim, step: Step, result: Wait | Watch, step_status: StepStatus, *, failed: bool
) -> None:
    """Write that a step waits, and give the process back. `failed`: because a try of it came to nothing."""
    assert step.deadline is not None
    undoing = claim.job.status == JobStatus.UNDOING
    # Only what fails is asked less and less often: to wait for something that is on its way is no failure.
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
            not_before=due if undoing else unless_cancelled(Least(due, claim.job.deadline, step.deadline)),
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
                next_look_at=Now() + timedelta(seconds=FIRST_LOOK_SECONDS),
                expires_at=step.deadline,
            )
            dispatch_poll(result.watcher, result.scope, after=FIRST_LOOK_SECONDS)
        else:
            dispatch_job(claim.job, after=result.seconds)
        step.save()
    if not undoing:
        check_cancelled(claim.job)


def park(claim: Claim) -> None:
    """Give back a job whose tenant holds its share of the worker (`fairness.py`), as if it had not been claimed."""
    job = claim.job
    claim.release(
        status=JobStatus.UNDOING if job.status == JobStatus.UNDOING else JobStatus.WAITING,
        # What its last claim has left unrecorded stays known.
        attempt=job.attempt - 1,
        # A child's time counts from when it begins.
        started_at=job.started_at if any(step.started_at for step in claim.steps) else None,
        parked=True,
        not_before=unless_cancelled(Now() + timedelta(seconds=fairness.PARKED_SECONDS)),
    )
    fairness.dispatch_parked_jobs(job.tenant_id, job.queue)


def unless_cancelled(due: Any) -> Case:
    """When a job that waits is due: now, if somebody cancelled it while it was owned, and else at its time.

    It is decided by the statement that gives the row back. A cancel before that is seen by it; one after it finds
    a job that nobody owns, and wakes it. So none is slept over, even if the worker dies right after the commit.
    """
    return Case(When(cancel_requested_at__isnull=False, then=Now()), default=due)


def check_cancelled(job: Job) -> None:
    """Look again at once after a cancel that came while a step ran: it must not wait for the step's time."""
    if Job.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists():
        wake_jobs([job.pk])


def stalled_at(claim: Claim, step: Step, watched: AsyncTask) -> datetime | None:
    """From when on the command is asked about a watch that stays open; None when its step has nothing to say of it."""
    if claim.declared(step).stalled_run is None:
        return None
    # Later times are the job's `not_before`: it is not claimed earlier.
    return watched.created_at + STALLED_AFTER


def drop_watch(watched: AsyncTask) -> bool:
    """Stop watching, because the command knows; False when the poller has decided about it by now."""
    still_open = AsyncTask.objects.filter(pk=watched.pk, verdict=AsyncTask.Verdict.OPEN)
    return bool(still_open.update(verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()))


def look_now(watched: AsyncTask) -> None:
    """Have everything in a watch's scope looked at now, if it is put off because the outside was away: it answers again."""
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


def repark_step(
    claim: Claim, watched: AsyncTask, *, look_at: datetime | None = None, data: dict[str, Any] | None = None
) -> bool:
    """Give a job back that was rung for too early or twice; True when what it waits for is decided by now.

    `look_at` is when its command wants to be asked about it; `data` the job's, when that has changed.

    Why no wake is lost: the poller locks the async task, decides, and then wakes a job that nobody owns. Here the same
    row is locked first, so either the decision is seen, or the poller's wake comes after this has let the job go.
    """
    with transaction.atomic():
        verdicts = (
            AsyncTask.objects.select_for_update().filter(pk=watched.pk).values_list("verdict", flat=True)
        )
        if verdicts[0] != AsyncTask.Verdict.OPEN:
            return True
        undoing = claim.job.status == JobStatus.UNDOING
        due = watched.expires_at if undoing else min(watched.expires_at, claim.job.deadline)
        if look_at is not None:
            due = min(due, look_at)
        columns: dict[str, Any] = {} if data is None else {"data": data}
        claim.release(
            status=JobStatus.UNDOING if undoing else JobStatus.WAITING,
            not_before=due if undoing else unless_cancelled(due),
            **columns,
        )
        if look_at is not None and data is not None:
            # Few are asked about a second time, and those want to be in time; the first time is left to the sweep.
            dispatch_job(claim.job, after=max(0.0, (look_at - timezone.now()).total_seconds()))
    return False


def watched_by(job: Job, step: Step, *, undo: bool = False) -> AsyncTask | None:
    """What a step, or its undo, has been waiting for last."""
    return AsyncTask.objects.filter(job=job, step_name=step.name, undo=undo).order_by("-id").first()


def drop_watches(job: Job) -> None:
    AsyncTask.objects.filter(job=job, verdict=AsyncTask.Verdict.OPEN).update(
        verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()
    )
