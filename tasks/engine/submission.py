"""Submit: record commands as jobs, with their steps and locks, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from api.domain_errors import ConflictError, DomainError
from api.messages import message as _
from api.tracing import current_traceparent

from .. import crash_points
from ..command import Command, Refusal, declared_title
from ..dispatch import dispatch_jobs
from ..models import EntityLock, Job, Step
from ..operations import hold_back, note_jobs
from ..queries import insert, insert_locks

if TYPE_CHECKING:
    from tenants.models import Tenant, User  # Types only: this room lies below.


class BusyError(ConflictError):
    """Another job has locked the entity. `job` is that job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            "busy",
            _("'%(job)s' is in progress. Wait for it to end, or cancel it.")
            % {"job": declared_title(job.kind)},
            job={"id": str(job.id), "kind": job.kind, "status": job.status, "subject": job.subject},
        )


class NotValidError(ConflictError):
    """The validation of the command refuses it. It contains every refusal, not only the first."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        self.refusals = refusals
        errors: dict[str, list[str]] = {}
        for refusal in refusals:
            errors.setdefault(refusal.field or "detail", []).append(str(refusal.message))
        super().__init__(first.code, first.message, errors=errors, **dict(first.details))


@dataclass(frozen=True, slots=True)
class Submission:
    """The job that carries out a command; `joined` when it already existed."""

    job: Job
    joined: bool


@dataclass(frozen=True, slots=True)
class Spec:
    """A command to be carried out, and the tenant that it is for."""

    command: Command
    tenant: Tenant | None = None


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The outcome of submitting one spec.

    With a `refusal`, nothing was recorded. Otherwise `job` carries out the command (`joined` when it already existed); it is
    None when nothing was recorded because of a dry run or of another spec's refusal.
    """

    job: Job | None = None
    joined: bool = False
    refusal: DomainError | None = None


def lock_holder(key: str) -> Job | None:
    """Return the job that holds an entity's lock, with the rows that its serializer reads; None when the entity is free."""
    return lock_holders([key]).get(key)


def lock_holders(keys: Iterable[str]) -> dict[str, Job]:
    """Return the jobs that hold the locks of entities, by key, with the rows that their serializer reads."""
    locks = EntityLock.objects.select_related("job__created_by").prefetch_related("job__steps")
    return {lock.key: lock.job for lock in locks.filter(key__in=list(keys))}


def submit(command: Command, *, tenant: Tenant | None = None, user: User | None = None) -> Submission:
    """Record a command as a job, with its steps and locks, in the caller's transaction.

    If a job in flight has the same command on the same entity, it is returned instead.
    Raises `BusyError` when another job has locked one of the entities, `NotValidError` when the validation refuses.
    """
    (result,) = submit_many([Spec(command, tenant)], user=user)
    if result.refusal is not None:
        raise result.refusal
    assert result.job is not None
    return Submission(result.job, result.joined)


def submit_many(
    specs: Sequence[Spec],
    *,
    user: User | None = None,
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> list[SubmitResult]:
    """Record many commands as jobs, in the caller's transaction; return a result for each spec, in their order.

    With `all`, nothing is recorded unless every spec passes; with `valid`, the specs that pass are recorded.
    A dry run records nothing and returns the same results. Gates (`operations.py`) may hold back what would be recorded.
    The number of statements does not depend on the number of specs. The caller should have read the rows that `validate`
    reads, and locked them in the order of their keys.

    Safe against simultaneous calls: the key of a lock is unique, and one statement inserts the keys in their order. So a
    second call waits for the first transaction, finds its locks, and joins its job or is refused.
    """
    if not connection.in_atomic_block:
        raise RuntimeError(
            "submit() needs the caller's transaction: the job is recorded with the change or not at all."
        )
    jobs = [_build_root(spec, user) for spec in specs]
    keys_of = [sorted(set(spec.command.locks())) for spec in specs]
    job_ids = {key: job.id for job, keys in reversed(list(zip(jobs, keys_of, strict=True))) for key in keys}
    held = lock_holders(job_ids) if dry_run else acquire_locks(job_ids)
    new_holders: dict[str, Job] = {}
    results: list[SubmitResult] = []
    for spec, job, keys in zip(specs, jobs, keys_of, strict=True):
        holder = next(
            (holders[key] for key in keys for holders in (held, new_holders) if key in holders), None
        )
        if holder is not None:
            same = (holder.kind, holder.params) == (job.kind, job.params)
            results.append(
                SubmitResult(holder, joined=True) if same else SubmitResult(refusal=BusyError(holder))
            )
        elif refusals := spec.command.validate():
            results.append(SubmitResult(refusal=NotValidError(refusals)))
        else:
            results.append(SubmitResult(job))
            new_holders.update(dict.fromkeys(keys, job))
    if dry_run or (mode == "all" and any(result.refusal for result in results)):
        _delete_locks(job_ids.keys() - held.keys() if not dry_run else [])
        recorded: dict[UUID, Job] = {}
    else:
        recorded = {job.id: job for result, job in zip(results, jobs, strict=True) if result.job is job}
        # In the transaction that records them: nothing that is held back leaves a job or a lock.
        hold_back([spec for spec, job in zip(specs, jobs, strict=True) if job.id in recorded], user)
        _reassign_locks(new_holders, job_ids, held)
        insert_jobs(
            [(job, spec.command) for job, spec in zip(jobs, specs, strict=True) if job.id in recorded]
        )
        crash_points.crash_point_on_commit("submitted")
        dispatch_jobs((job.id, job.queue) for job in recorded.values())
        note_jobs([result.job for result in results if result.job is not None])
    not_recorded = {job.id for job in jobs} - recorded.keys()
    return [
        SubmitResult(joined=result.joined, refusal=result.refusal)
        if result.job is not None and result.job.id in not_recorded
        else result
        for result in results
    ]


def insert_jobs(jobs: Sequence[tuple[Job, Command]]) -> None:
    """Insert jobs with the steps of their commands, in one message to the database.

    The steps are inserted first, so that the last statement returns the default values of the jobs. This is possible
    because the database checks the foreign keys at the commit.
    """
    steps = {
        job.id: [
            Step(job=job, position=n, name=declaration.name) for n, declaration in enumerate(command.steps)
        ]
        for job, command in jobs
    }
    new_jobs = [job for job, _command in jobs]
    insert([step for of_one in steps.values() for step in of_one], new_jobs)
    for job in new_jobs:
        # As `prefetch_related` would store them, for the serializer.
        job._prefetched_objects_cache = {"steps": steps[job.id]}  # type: ignore[attr-defined] # noqa: SLF001


def build_job(command: Command, **columns: Any) -> Job:
    """Return a new, unsaved job for a command."""
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


def _build_root(spec: Spec, user: User | None) -> Job:
    job = build_job(
        spec.command,
        tenant=spec.tenant,
        created_by=user,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id") or "")[:128],
        traceparent=current_traceparent(),
        deadline=timezone.now() + spec.command.deadline,
    )
    job.root_id = job.id
    return job


def acquire_locks(job_ids: Mapping[str, UUID]) -> dict[str, Job]:
    """Acquire every free lock, each for its job; return the jobs that hold the others, by key.

    Raises `DomainError` 409 `busy` when other jobs repeatedly release and acquire a lock in the meantime.
    """
    missing = dict(sorted(job_ids.items()))
    held: dict[str, Job] = {}
    for _attempt in range(3):
        if not missing:
            return held
        for key in insert_locks(missing):
            del missing[key]
        if missing:
            held.update(lock_holders(missing))
            missing = {key: job for key, job in missing.items() if key not in held}
        # The holders of the missing locks ended between the two statements: try again.
    if missing:
        raise ConflictError("busy", _("Many requests are changing this at once. Try again in a moment."))
    return held


def _reassign_locks(
    new_holders: Mapping[str, Job], job_ids: Mapping[str, UUID], held: Mapping[str, Job]
) -> None:
    """Delete the locks of refused specs, and reassign those of them that another spec needs."""
    _delete_locks(job_ids.keys() - held.keys() - new_holders.keys())
    for key, job in new_holders.items():
        if job_ids[key] != job.id:
            EntityLock.objects.filter(key=key).update(job=job)


def _delete_locks(keys: Iterable[str]) -> None:
    if keys := list(keys):
        EntityLock.objects.filter(key__in=keys).delete()
