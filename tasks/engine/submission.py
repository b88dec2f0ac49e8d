"""Recording commands as jobs, with their locks, in the transaction of who asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from api.domain_errors import ConflictError, DomainError

from .. import crash_points
from ..command import Command, Refusal, command_title
from ..dispatch import dispatch_jobs
from ..models import EntityLock, Job, Step
from .rows import insert

if TYPE_CHECKING:
    from tenants.models import Tenant, User  # Types only: this room lies below.


class BusyError(ConflictError):
    """The entity is held by another job. Carries that job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            "busy",
            gettext_lazy("Another job holds it: %(job)s. Wait for it to end, or cancel it.")
            % {"job": command_title(job.kind)},
            job={"id": str(job.id), "kind": job.kind, "status": job.status, "subject": job.subject},
        )


class NotValidError(ConflictError):
    """The command's own validation refuses. Carries every refusal, not the first."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        self.refusals = refusals
        errors: dict[str, list[str]] = {}
        for refusal in refusals:
            errors.setdefault(refusal.field or "detail", []).append(str(refusal.message))
        super().__init__(first.code, first.message, errors=errors, **dict(first.details))


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that does what was asked for; `joined` when it was in flight already."""

    job: Job
    joined: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """A command that somebody wants to be carried out, and for which tenant."""

    command: Command
    tenant: Tenant | None = None


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of one spec.

    With a `refusal`, nothing. Otherwise `job` does it (`joined` when it was in flight already); it is None when
    nothing was recorded, because it was a dry run or because of another spec's refusal.
    """

    job: Job | None = None
    joined: bool = False
    refusal: DomainError | None = None


def lock_holder(key: str) -> Job | None:
    """The job that holds an entity, with what an answer shows of it; or None."""
    return lock_holders([key]).get(key)


def lock_holders(keys: Iterable[str]) -> dict[str, Job]:
    """The jobs that hold entities, by the entity's key, with what an answer shows of them."""
    locks = EntityLock.objects.select_related("job__created_by").prefetch_related("job__steps")
    return {lock.key: lock.job for lock in locks.filter(key__in=list(keys))}


def submit(command: Command, *, tenant: Tenant | None = None, user: User | None = None) -> Submission:
    """Record a command as a job, with its steps and locks, in the caller's transaction.

    The same command on the same entity joins the job in flight.
    Raises `BusyError` when another job holds one of the entities, `NotValidError` when the command refuses itself.
    """
    (answer,) = submit_many([Spec(command, tenant)], user=user)
    if answer.refusal is not None:
        raise answer.refusal
    assert answer.job is not None
    return Submission(answer.job, answer.joined)


def submit_many(
    specs: Sequence[Spec],
    *,
    user: User | None = None,
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> list[SubmitResult]:
    """Record many commands as jobs, in the caller's transaction; an answer for each spec, in their order.

    With `all`, nothing is recorded unless every spec passes; with `valid`, those that pass are.
    A dry run records nothing and answers alike.
    However many there are, it costs the same few statements. What the commands' `validate` reads should have been
    read, and locked in the order of the keys, by the caller.

    Safe against a simultaneous twin: a lock's key is unique, and the keys are inserted in their order by one
    statement, so the second one waits for the first transaction, finds its locks, and joins it or is refused.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(
            "submit() needs the caller's transaction: the job is recorded with the change or not at all."
        )
    jobs = [_root_of(spec, user) for spec in specs]
    keys_of = [sorted(set(spec.command.locks())) for spec in specs]
    wanted = {key: job.id for job, keys in reversed(list(zip(jobs, keys_of, strict=True))) for key in keys}
    held = lock_holders(wanted) if dry_run else acquire_locks(wanted)
    mine: dict[str, Job] = {}
    answers: list[SubmitResult] = []
    for spec, job, keys in zip(specs, jobs, keys_of, strict=True):
        holder = next((holders[key] for key in keys for holders in (held, mine) if key in holders), None)
        if holder is not None:
            same = (holder.kind, holder.params) == (job.kind, job.params)
            answers.append(
                SubmitResult(holder, joined=True) if same else SubmitResult(refusal=BusyError(holder))
            )
        elif refusals := spec.command.validate():
            answers.append(SubmitResult(refusal=NotValidError(refusals)))
        else:
            answers.append(SubmitResult(job))
            mine.update(dict.fromkeys(keys, job))
    if dry_run or (mode == "all" and any(answer.refusal for answer in answers)):
        _free(wanted.keys() - held.keys() if not dry_run else [])
        recorded: dict[UUID, Job] = {}
    else:
        recorded = {job.id: job for answer, job in zip(answers, jobs, strict=True) if answer.job is job}
        _settle_locks(mine, wanted, held)
        record([(job, spec.command) for job, spec in zip(jobs, specs, strict=True) if job.id in recorded])
        crash_points.crash_point_on_commit("submitted")
        dispatch_jobs((job.id, job.queue) for job in recorded.values())
    not_recorded = {job.id for job in jobs} - recorded.keys()
    return [
        SubmitResult(joined=answer.joined, refusal=answer.refusal)
        if answer.job is not None and answer.job.id in not_recorded
        else answer
        for answer in answers
    ]


def record(jobs: Sequence[tuple[Job, Command]]) -> None:
    """Insert jobs with the steps of their commands: one message to the database, however many there are.

    The steps go first, and so into the same message as the jobs, whose times come back. That is possible because
    the database looks at foreign keys at the commit.
    """
    steps = {
        job.id: [Step(job=job, position=n, name=declared.name) for n, declared in enumerate(command.steps)]
        for job, command in jobs
    }
    made = [job for job, _command in jobs]
    insert([step for of_one in steps.values() for step in of_one], made)
    for job in made:
        # Where `prefetch_related` would put them: the answer shows them.
        job._prefetched_objects_cache = {"steps": steps[job.id]}  # type: ignore[attr-defined] # noqa: SLF001


def job_of(command: Command, **columns: Any) -> Job:
    """A job of a command, not yet recorded."""
    entity = command.entity()
    return Job(
        kind=command.kind,
        queue=command.queue,
        params=command.params(),
        subject=entity.name[:300],
        entity_type=entity.type,
        entity_id=entity.id,
        **columns,
    )


def _root_of(spec: Spec, user: User | None) -> Job:
    job = job_of(
        spec.command,
        tenant=spec.tenant,
        created_by=user,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id") or "")[:128],
        language=translation.get_language() or "",
        deadline=timezone.now() + spec.command.deadline,
    )
    job.root_id = job.id
    return job


def acquire_locks(wanted: Mapping[str, UUID]) -> dict[str, Job]:
    """Take every key that is free, each for its job; the jobs that hold the others, by key.

    Raises `DomainError` 409 `busy` when a key is let go and taken by others again and again.
    """
    missing = dict(sorted(wanted.items()))
    held: dict[str, Job] = {}
    for _attempt in range(3):
        if not missing:
            return held
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO tasks_entitylock (key, job_id, created_at)"
                " SELECT key, job, statement_timestamp()"
                " FROM unnest(%s::text[], %s::uuid[]) WITH ORDINALITY AS k(key, job, n)"
                " ORDER BY n ON CONFLICT (key) DO NOTHING RETURNING key",
                [list(missing), list(missing.values())],
            )
            for (key,) in cursor.fetchall():
                del missing[key]
        if missing:
            held.update(lock_holders(missing))
            missing = {key: job for key, job in missing.items() if key not in held}
        # The holder of what is still missing ended between the two statements: try again.
    if missing:
        raise ConflictError(
            "busy", gettext_lazy("It is being changed by many at once; try again in a moment.")
        )
    return held


def _settle_locks(mine: Mapping[str, Job], wanted: Mapping[str, UUID], held: Mapping[str, Job]) -> None:
    """Free what was taken for a spec that was then refused, and hand over what another of the specs needs."""
    _free(wanted.keys() - held.keys() - mine.keys())
    for key, job in mine.items():
        if wanted[key] != job.id:
            EntityLock.objects.filter(key=key).update(job=job)


def _free(keys: Iterable[str]) -> None:
    if keys := list(keys):
        EntityLock.objects.filter(key__in=keys).delete()
