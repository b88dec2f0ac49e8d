"""The engine: how a job is recorded, moved on, undone, cancelled, recovered and ended.

The row is the truth. A worker that hears a doorbell

1. claims the job in one statement (owner, lease, attempt),
2. runs one step with no transaction open,
3. records what came of it in one transaction, which names the owner and so refuses a worker that came too late,

and goes on with the next step, or gives the process back when the step waits.
Whatever dies in between, the row says how far the job has come, and `sweep` has it looked at again.

Caveats:

1. A step may run twice (a crash between 2 and 3). Steps look for their own effect first; `Command.retrying` tells.
2. An effect may outlive its job's failure. Each step's undo takes it back before the job is `failed`.
3. Locks are rows. They are taken in key order in the caller's transaction and freed by the job's last write.
4. Leases and due times are the database's clock; only deadlines, which are minutes, are read on a worker's.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Least, Now
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.api.errors import Refused

from .command import (
    Command,
    Done,
    Failed,
    Failure,
    Refusal,
    Result,
    StepDeclaration,
    Wait,
    Watch,
    command_class,
)
from .crash_points import crash_point
from .doorbell import ring_job, ring_poll, wake
from .leases import held, lease, new_owner
from .models import IN_FLIGHT, AsyncTask, EntityLock, Job, JobLogLine, JobStatus, Step, StepStatus
from .polling import FIRST_LOOK_SECONDS

if TYPE_CHECKING:
    from tenants.models import Tenant, User  # Types only: this room lies below.

log = structlog.get_logger(__name__)

# A ring may come a little before its time; without this it would be lost until the next sweep.
EARLY_RING = timedelta(milliseconds=150)
# What should have moved this long ago was not rung for, or its ring was lost.
OVERDUE = timedelta(seconds=3)
RING_AGAIN_AFTER = timedelta(seconds=20)
SWEEP_AT_MOST = 1000
# An undo is tried again for this long before a person has to look.
UNDO_DEADLINE = timedelta(hours=24)
FAR_FUTURE = timedelta(days=3650)


# --- Recording ---------------------------------------------------------------------------------------------


class Busy(Refused):
    """The entity is held by another job. Carries that job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            409,
            "busy",
            gettext_lazy("Another job holds it: %(job)s. Wait for it to end, or cancel it.")
            % {"job": job.kind},
            job={"id": str(job.id), "kind": job.kind, "status": job.status, "subject": job.subject},
        )


class NotValid(Refused):
    """The command's own validation refuses. Carries every refusal, not the first."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        self.refusals = refusals
        errors: dict[str, list[str]] = {}
        for refusal in refusals:
            errors.setdefault(refusal.field or "detail", []).append(str(refusal.message))
        super().__init__(409, first.code, first.message, errors=errors, **dict(first.details))


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that does what was asked for; `joined` when it was in flight already."""

    job: Job
    joined: bool


def holder_of(key: str) -> Job | None:
    """The job that holds an entity, with what an answer shows of it; or None."""
    locks = EntityLock.objects.select_related("job__created_by").prefetch_related(
        "job__steps", "job__children"
    )
    for lock in locks.filter(key=key):
        return lock.job
    return None


def submit(command: Command, *, tenant: Tenant | None = None, user: User | None = None) -> Submission:
    """Record a command as a job, with its steps and locks, in the caller's transaction.

    The same command on the same entity joins the job in flight.
    Raises `Busy` when another job holds one of the entities, `NotValid` when the command refuses itself.

    Safe against a simultaneous twin: the lock's key is unique, so the second insert waits for the first
    transaction, finds its lock, and joins it or is refused.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(
            "submit() needs the caller's transaction: the job is recorded with the change or not at all."
        )
    entity = command.entity()
    job = Job(
        kind=command.kind,
        params=command.params(),
        subject=entity.name[:300],
        entity_type=entity.type,
        entity_id=entity.id,
        tenant=tenant,
        created_by=user,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id") or "")[:128],
        language=translation.get_language() or "",
        deadline=timezone.now() + command.deadline,
    )
    keys = sorted(set(command.locks()))
    holder = _take_locks(job, keys)
    if holder is not None:
        if holder.kind == job.kind and holder.params == job.params:
            return Submission(holder, joined=True)
        raise Busy(holder)
    if refusals := command.validate():
        raise NotValid(refusals)
    job.root_id = job.id
    job.save(force_insert=True)
    steps = [Step(job=job, position=n, name=declared.name) for n, declared in enumerate(command.steps)]
    Step.objects.bulk_create(steps)
    _remember(job, steps=steps, children=[])
    transaction.on_commit(lambda: crash_point("submitted"))
    ring_job(job.id)
    return Submission(job, joined=False)


def _remember(job: Job, **related: list[Any]) -> None:
    """Keep related rows that were just written where `prefetch_related` would put them: the answer shows them."""
    job._prefetched_objects_cache = related  # type: ignore[attr-defined] # noqa: SLF001


def _take_locks(job: Job, keys: list[str]) -> Job | None:
    """Insert the job's locks, or insert none and answer who holds one of them."""
    if not keys:
        return None
    for _attempt in range(3):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tasks_entitylock (key, job_id, created_at)"
                " SELECT key, %s, statement_timestamp() FROM unnest(%s::text[]) WITH ORDINALITY AS k(key, n)"
                " ORDER BY n ON CONFLICT (key) DO NOTHING RETURNING key",
                [job.id, keys],
            )
            taken = [key for (key,) in cursor.fetchall()]
        if len(taken) == len(keys):
            return None
        EntityLock.objects.filter(key__in=taken).delete()
        other = EntityLock.objects.select_related("job").filter(key__in=keys).order_by("key").first()
        if other is not None:
            return other.job
        # The holder ended between the two statements: try again.
    raise Refused(409, "busy", gettext_lazy("It is being changed by many at once; try again in a moment."))


# --- Moving on ---------------------------------------------------------------------------------------------


class Fenced(Exception):
    """This worker's claim is no longer its own; what it wanted to write is refused."""


@dataclass(slots=True)
class _Claim:
    """A job that this worker owns: the row, its steps, and the command that they are steps of."""

    job: Job
    owner: str
    steps: list[Step]
    command: Command

    def declared(self, step: Step) -> StepDeclaration:
        return next(declared for declared in self.command.steps if declared.name == step.name)

    def write(self, **columns: Any) -> None:
        """Write the job's row if it is still this claim's. Raises `Fenced`."""
        if not Job.objects.filter(pk=self.job.pk, owner=self.owner).update(**columns):
            raise Fenced

    def say(self, message: str, level: str = JobLogLine.Level.INFO) -> None:
        JobLogLine.objects.create(job=self.job, level=level, message=message)


def advance(job_id: UUID) -> None:
    """Move a job on as far as it goes without waiting.

    Safe to call at any time, from anywhere, by any number at once: the claim is one statement, and who does not
    get the row has nothing to do.
    """
    owner = new_owner()
    job = _claim(job_id, owner)
    if job is None:
        return
    crash_point("claimed")
    structlog.contextvars.bind_contextvars(job_id=str(job.id), kind=job.kind, request_id=job.request_id)
    with held(Job, owner), translation.override(job.language or settings.LANGUAGE_CODE):
        try:
            _advance_claimed(job, owner)
        except Fenced:
            log.warning("fenced", owner=owner, attempt=job.attempt)
        finally:
            structlog.contextvars.unbind_contextvars("job_id", "kind", "request_id")


def _claim(job_id: UUID, owner: str) -> Job | None:
    """Own a job that is due and that nobody owns, or whose owner gave no sign of life for a lease."""
    rows = Job.objects.raw(
        """
        UPDATE tasks_job SET
            status = CASE WHEN status = 'undoing' THEN 'undoing' ELSE 'running' END,
            owner = %s, lease_until = statement_timestamp() + %s, attempt = attempt + 1,
            started_at = COALESCE(started_at, statement_timestamp())
        WHERE id = (
            SELECT id FROM tasks_job
            WHERE id = %s AND status IN ('queued', 'running', 'waiting', 'undoing')
              AND (owner = '' OR lease_until < statement_timestamp())
              AND not_before <= statement_timestamp() + %s
            FOR UPDATE SKIP LOCKED
        ) RETURNING *
        """,
        [owner, lease(), job_id, EARLY_RING],
    )
    return next(iter(rows), None)


def _advance_claimed(job: Job, owner: str) -> None:
    steps = list(Step.objects.filter(job=job).order_by("position"))
    try:
        command = command_class(job.kind).from_params(job.params)
        command.job, command.data = job, job.data
        claim = _Claim(job, owner, steps, command)
        if {step.name for step in steps} - {declared.name for declared in command.steps}:
            raise LookupError(f"Job {job.id} has steps that {job.kind} no longer declares.")
    except Exception:
        # A row that this release cannot read is nobody's effect yet: a person has to look.
        log.exception("job_unreadable")
        _get_stuck(_Claim(job, owner, steps, Command()), traceback.format_exc(limit=20))
        return
    if job.attempt > settings.JOB_ATTEMPT_CAP:
        _get_stuck(claim, _("Its worker died %(count)s times at the same step.") % {"count": job.attempt - 1})
        return
    going_on = True
    while going_on:
        going_on = _undo_one(claim) if claim.job.status == JobStatus.UNDOING else _run_one(claim)


def _run_one(claim: _Claim) -> bool:
    """Do the next thing of a job that goes forward; whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = next((step for step in claim.steps if step.status != StepStatus.SUCCEEDED), None)
    if step is None:
        return _end(claim, JobStatus.SUCCEEDED)
    begun = job.attempt > 1 or step.status != StepStatus.PENDING
    now = timezone.now()
    if begun:
        # Only a step that says Failed is sure of having had no effect; its undo must ask the outside.
        job.data["unrecorded"] = step.name
    if job.cancel_requested_at is not None:
        return _begin_undo(claim, step if begun else None, JobStatus.CANCELLED, "cancelled", _("Cancelled."))
    if job.deadline <= now:
        return _fail(
            claim, step, Failed("deadline", _("It did not end within its time limit. %s") % step.message)
        )
    if step.status == StepStatus.WAITING and (watched := _watched(job, step)) is not None:
        return _judge(claim, step, watched)
    if step.deadline is not None and step.deadline <= now:
        return _fail(
            claim, step, Failed("timeout", _("'%(step)s' took too long. %(last)s") % _last_word(step))
        )
    command.retrying, command.tries = begun, step.tries
    step.started_at = step.started_at or now
    step.deadline = step.deadline or now + claim.declared(step).deadline
    result, trace = _call(claim, claim.declared(step).run)
    crash_point("called")
    if result is None:
        job.data["unrecorded"] = step.name
        log.error("step_errored", step=step.name, trace=trace)
        return _begin_undo(
            claim, step, JobStatus.ERRORED, "internal_error", _("An error of the portal itself."), trace=trace
        )
    return _record(claim, step, result)


def _call(claim: _Claim, function: Any) -> tuple[Result | None, str]:
    """Run a step's code with no transaction open; None and the traceback when the code itself is wrong."""
    if connection.in_atomic_block:
        raise RuntimeError("A step would run inside a transaction; advance() must be called outside of any.")
    try:
        return function(claim.command) or Done(), ""
    except Exception as error:  # noqa: BLE001 - whatever a step raises ends or delays its job, never its worker.
        trace = traceback.format_exc(limit=30)
        return claim.command.translate(error), trace


def _record(claim: _Claim, step: Step, result: Result) -> bool:
    """Write a step's result; whether there is more to do at once."""
    if not isinstance(result, Wait):
        claim.job.data.pop("unrecorded", None)
    if isinstance(result, Failed):
        return _fail(claim, step, result)
    step.message = result.message
    if isinstance(result, Done):
        step.status, step.progress, step.ended_at, step.tries = StepStatus.SUCCEEDED, 100, timezone.now(), 0
        if step.position == len(claim.steps) - 1:
            return _end(claim, JobStatus.SUCCEEDED, also=step)
        with transaction.atomic():
            claim.write(data=claim.job.data, attempt=1, lease_until=Now() + lease())
            step.save()
        claim.job.attempt = 1
        claim.job.cancel_requested_at = Job.objects.values_list("cancel_requested_at", flat=True).get(
            pk=claim.job.pk
        )
        crash_point("recorded")
        return True
    _give_back(claim, step, result, StepStatus.WAITING)
    return False


def _give_back(claim: _Claim, step: Step, result: Wait | Watch, step_status: StepStatus) -> None:
    """Write that a step waits, and give the process back."""
    assert step.deadline is not None
    undoing = claim.job.status == JobStatus.UNDOING
    step.status, step.tries = step_status, step.tries + 1
    with transaction.atomic():
        if isinstance(result, Watch):
            wake: Any = step.deadline
            AsyncTask.objects.create(
                job=claim.job,
                step_name=step.name,
                watcher=result.watcher,
                scope=result.scope,
                object_id=result.object_id,
                until=sorted(result.until),
                unless=sorted(result.unless),
                next_look_at=Now() + timedelta(seconds=FIRST_LOOK_SECONDS),
                expires_at=step.deadline,
            )
            ring_poll(result.watcher, result.scope, after=FIRST_LOOK_SECONDS)
        else:
            wake = Now() + timedelta(seconds=result.seconds)
            ring_job(claim.job.id, after=result.seconds)
        claim.write(
            status=JobStatus.UNDOING if undoing else JobStatus.WAITING,
            owner="",
            lease_until=None,
            attempt=0,
            rung_at=None,
            not_before=wake if undoing else Least(wake, F("deadline"), step.deadline),
            data=claim.job.data,
        )
        step.save()
    # A cancel that came while the step ran must not wait for the step's time: look again at once.
    if not undoing and Job.objects.filter(pk=claim.job.pk, cancel_requested_at__isnull=False).exists():
        wake([claim.job.pk])
    crash_point("recorded")


def _watched(job: Job, step: Step) -> AsyncTask | None:
    return AsyncTask.objects.filter(job=job, step_name=step.name).order_by("-id").first()


def _judge(claim: _Claim, step: Step, watched: AsyncTask) -> bool:
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
            Failed("timeout", _("'%(step)s' took too long. %(last)s") % _last_word(step, watched)),
        )
    # An early or doubled ring: back to waiting, and nothing else.
    with transaction.atomic():
        claim.write(
            status=JobStatus.WAITING, owner="", lease_until=None, attempt=0, not_before=watched.expires_at
        )
    return False


def _last_word(step: Step, watched: AsyncTask | None = None) -> dict[str, str]:
    last = (
        _("The cloud last reported %s.") % watched.last_status
        if watched and watched.last_status
        else step.message
    )
    return {"step": step.name.replace("_", " "), "last": last}


# --- Failure, undo, end ------------------------------------------------------------------------------------


def _fail(claim: _Claim, step: Step, failed: Failed) -> bool:
    return _begin_undo(claim, step, JobStatus.FAILED, failed.code, failed.message)


def _begin_undo(
    claim: _Claim, failing: Step | None, ending: JobStatus, code: str, message: str, *, trace: str = ""
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
    if _next_undo(claim) is None:
        return _end(claim, ending)
    with transaction.atomic():
        claim.write(
            status=JobStatus.UNDOING,
            ending=ending,
            data=claim.job.data,
            attempt=1,
            lease_until=Now() + lease(),
            **reason,
        )
        _drop_watches(claim.job)
        Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message", "tries", "deadline"])
        claim.say(_("Undoing: %s") % message, JobLogLine.Level.WARNING)
    claim.job.status, claim.job.attempt = JobStatus.UNDOING, 1
    crash_point("recorded")
    return True


def _next_undo(claim: _Claim) -> Step | None:
    """The last step that began, can be undone and is not undone yet."""
    undoable = {declared.name for declared in claim.command.steps if declared.undo_run is not None}
    began = {StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.UNDOING}
    return next(
        (step for step in reversed(claim.steps) if step.status in began and step.name in undoable), None
    )


def _undo_one(claim: _Claim) -> bool:
    """Take back one step; whether there is more to do at once."""
    job, command = claim.job, claim.command
    step = _next_undo(claim)
    if step is None:
        return _end(claim, JobStatus(job.ending))
    now = timezone.now()
    watched = _watched(job, step) if step.status == StepStatus.UNDOING else None
    if watched is not None and watched.verdict == AsyncTask.Verdict.OPEN and watched.expires_at > now:
        with transaction.atomic():  # An early or doubled ring.
            claim.write(owner="", lease_until=None, attempt=0, not_before=watched.expires_at)
        return False
    if watched is not None and watched.verdict == AsyncTask.Verdict.REACHED:
        return _undone(claim, step)
    step.deadline = step.deadline or now + UNDO_DEADLINE
    if step.deadline <= now:
        _get_stuck(claim, _("'%(step)s' could not be undone. %(last)s") % _last_word(step))
        return False
    command.retrying, command.tries = job.attempt > 1 or step.status == StepStatus.UNDOING, step.tries
    undo_run = claim.declared(step).undo_run
    assert undo_run is not None
    result, trace = _call(claim, undo_run)
    crash_point("called")
    if result is None:
        log.error("undo_errored", step=step.name, trace=trace)
        if step.tries >= settings.JOB_ATTEMPT_CAP:
            _get_stuck(claim, trace)
            return False
        result = Wait(back_off(step.tries), _("An error of the portal itself; it will be tried again."))
    if isinstance(result, Failed):
        # The outside refuses to take it back now; it is asked again until it does.
        result = Wait(back_off(step.tries), result.message)
    if isinstance(result, Done):
        return _undone(claim, step)
    step.message = result.message
    _give_back(claim, step, result, StepStatus.UNDOING)
    return False


def _undone(claim: _Claim, step: Step) -> bool:
    step.status, step.tries = StepStatus.UNDONE, 0
    if _next_undo(claim) is None:
        return _end(claim, JobStatus(claim.job.ending), also=step)
    with transaction.atomic():
        claim.write(data=claim.job.data, attempt=1, lease_until=Now() + lease())
        step.save()
    claim.job.attempt = 1
    crash_point("recorded")
    return True


def _end(claim: _Claim, status: JobStatus, also: Step | None = None) -> bool:
    """Write a job's last word, its command's own result, and free its locks: one transaction, or nothing.

    When the command's hook is itself wrong, nothing is written; the claim runs out and is taken again, up to the
    attempt cap, where the job is stuck for a person to see.
    """
    job, command = claim.job, claim.command
    with transaction.atomic():
        if status == JobStatus.SUCCEEDED:
            command.succeeded()
        else:
            command.failed(Failure(status, job.outcome_code, job.outcome_message))
        _write_end(claim, status, also)
        if status != JobStatus.SUCCEEDED:
            Step.objects.bulk_update(claim.steps, ["status", "ended_at", "message"])
            _drop_watches(job)
    job.status = status
    crash_point("recorded")
    return False


def _write_end(claim: _Claim, status: JobStatus, also: Step | None) -> None:
    """The job's last row, its last step's and its locks, in one statement: every click ends here. Raises `Fenced`."""
    job = claim.job
    last = also or Step(position=-1)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH ended AS (
                UPDATE tasks_job SET
                    status = %(status)s, owner = '', lease_until = NULL, ended_at = statement_timestamp(),
                    data = %(data)s, outcome_code = %(code)s, outcome_message = %(message)s, traceback = %(trace)s
                WHERE id = %(job)s AND owner = %(owner)s RETURNING id
            ), last AS (
                UPDATE tasks_step SET
                    status = %(step_status)s, progress = %(progress)s, message = %(step_message)s, tries = 0,
                    started_at = %(started)s, ended_at = statement_timestamp()
                FROM ended WHERE job_id = ended.id AND position = %(position)s
            ), freed AS (
                DELETE FROM tasks_entitylock USING ended WHERE job_id = ended.id
            )
            SELECT count(*) FROM ended
            """,
            {
                "status": status.value,
                "data": json.dumps(job.data),
                "code": job.outcome_code or ("done" if status == JobStatus.SUCCEEDED else status.value),
                "message": job.outcome_message,
                "trace": job.traceback,
                "job": job.pk,
                "owner": claim.owner,
                "step_status": str(last.status),
                "progress": last.progress,
                "step_message": last.message,
                "started": last.started_at,
                "position": last.position,
            },
        )
        if cursor.fetchone() == (0,):
            raise Fenced


def _get_stuck(claim: _Claim, message: str) -> None:
    """Stop and keep the locks: half an effect may be out there, and a person has to decide."""
    with transaction.atomic():
        claim.write(
            status=JobStatus.STUCK,
            owner="",
            lease_until=None,
            outcome_code="stuck",
            outcome_message=message[:2000],
        )
        _drop_watches(claim.job)
        claim.say(message, JobLogLine.Level.ERROR)
    log.error("job_stuck", job_id=str(claim.job.id), message=message)


def _drop_watches(job: Job) -> None:
    AsyncTask.objects.filter(job=job, verdict=AsyncTask.Verdict.OPEN).update(
        verdict=AsyncTask.Verdict.DROPPED, ended_at=Now()
    )


def back_off(tries: int, *, first: float = 1.0, most: float = 60.0) -> float:
    """Seconds before the next of so many tries: doubling, bounded."""
    return float(min(most, first * 2 ** min(tries, 16)))


# --- Cancelling, recovering, forgetting --------------------------------------------------------------------


def cancel(job: Job) -> bool:
    """Ask a job to stop at its next step boundary and to undo what it did; whether it can still hear that.

    Compare-and-set on the row, so a job that ends at the same moment simply ends.
    """
    heard = Job.objects.filter(
        pk=job.pk,
        status__in=[JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.WAITING],
        cancel_requested_at=None,
    ).update(cancel_requested_at=Now())
    if heard:
        wake([job.pk])
    return bool(heard)


def sweep() -> int:
    """Ring again for every job that should have moved; how many.

    This is what makes the broker forgettable: lost, doubled or late messages, a flushed Redis, a killed worker
    all come down to a row that is due and that nobody owns.
    A job is rung for again only after a while, so a long queue is not doubled at every sweep.
    """
    now = Now()
    due = list(
        Job.objects.filter(status__in=IN_FLIGHT, not_before__lt=now - OVERDUE)
        .filter(Q(owner="") | Q(lease_until__lt=now))
        .filter(Q(rung_at=None) | Q(rung_at__lt=now - RING_AGAIN_AFTER))
        .order_by("not_before")
        .values_list("pk", flat=True)[:SWEEP_AT_MOST]
    )
    Job.objects.filter(pk__in=due).update(rung_at=now)
    for job_id in due:
        ring_job(job_id)
    overdue = (
        AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN, next_look_at__lt=now - OVERDUE)
        .order_by()
        .values_list("watcher", "scope")
        .distinct()
    )
    for watcher, scope in overdue:
        ring_poll(watcher, scope)
    return len(due)


def prune(*, older_than: datetime, batch: int = 1000) -> int:
    """Delete a batch of jobs that ended before a time, with all that belongs to them; how many jobs."""
    ended = (
        Job.objects.filter(ended_at__lt=older_than, parent=None)
        .order_by("ended_at")
        .values_list("pk", flat=True)
    )
    ids = list(ended[:batch])
    Job.objects.filter(pk__in=ids).delete()
    return len(ids)
