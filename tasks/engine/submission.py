"""Recording a command as a job, with its locks, in the transaction of who asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.db import connection, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy

from portal.api.errors import Refused

from .. import crash_points
from ..command import Command, Refusal, title_of
from ..doorbell import ring_job
from ..models import EntityLock, Job, Step

if TYPE_CHECKING:
    from tenants.models import Tenant, User  # Types only: this room lies below.


class Busy(Refused):
    """The entity is held by another job. Carries that job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(
            409,
            "busy",
            gettext_lazy("Another job holds it: %(job)s. Wait for it to end, or cancel it.")
            % {"job": title_of(job.kind)},
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
    transaction.on_commit(lambda: crash_points.crash_point("submitted"))
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
