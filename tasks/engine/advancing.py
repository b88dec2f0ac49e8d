"""What a worker does when a doorbell rings for a job."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from .. import crash_points, fairness
from ..command import Command, command_class
from ..leases import LeaseLost, claiming, effects_under, held, new_owner
from ..models import Job, JobStatus, Step
from .claims import Claim, Fenced, park, take
from .ending import get_stuck
from .forward import run_one
from .undo import undo_one

log = structlog.get_logger(__name__)


def advance(job_id: UUID) -> None:
    """Move a job on as far as it goes without waiting.

    Safe to call at any time, from anywhere, by any number at once: the claim is one statement, and who does not
    get the row has nothing to do.
    """
    owner, since = new_owner(), claiming()
    taken = take(job_id, owner)
    if taken is None:
        return
    job, steps = taken
    only_ends = job.cancel_requested_at is not None and not any(step.started_at for step in steps)
    if not only_ends and not fairness.take_place(job.tenant_id, job.queue):
        with contextlib.suppress(Fenced):
            park(Claim(job, owner, steps, Command()))
        return
    crash_points.crash_point("claimed")
    structlog.contextvars.bind_contextvars(job_id=str(job.id), kind=job.kind, request_id=job.request_id)
    with (
        held(Job, owner, since=since) as lease,
        effects_under(lease),
        translation.override(job.language or settings.LANGUAGE_CODE),
    ):
        try:
            _move_on(job, owner, steps)
        except Fenced:
            log.warning("fenced", owner=owner, attempt=job.attempt)
        except LeaseLost:
            # Whoever has the job by now goes on with it; if nobody has, the sweep rings.
            log.warning("lease_lost", owner=owner, attempt=job.attempt)
        finally:
            structlog.contextvars.unbind_contextvars("job_id", "kind", "request_id")
            if not only_ends:
                fairness.give_back(job.tenant_id, job.queue)


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


def _move_on(job: Job, owner: str, steps: list[Step]) -> None:
    try:
        command = command_class(job.kind).from_params(job.params)
        command.job, command.data = job, job.data
        rename_steps(job, steps, command.renamed_steps)
        claim = Claim(job, owner, steps, command)
        if job.parent_id is not None and job.started_at is not None:
            # A child's time counts from its own beginning; it may have been held for long.
            job.deadline = min(job.deadline, job.started_at + command.deadline)
        if {step.name for step in steps} - {declared.name for declared in command.steps}:
            raise LookupError(f"Job {job.id} has steps that {job.kind} no longer declares.")
    except Exception:
        # A row that this release cannot read is nobody's effect yet: a person has to look.
        log.exception("job_unreadable")
        claim = Claim(job, owner, steps, Command())
        get_stuck(claim, _("This release cannot read it."), trace=traceback.format_exc(limit=20))
        return
    if job.attempt > settings.JOB_ATTEMPT_CAP:
        get_stuck(claim, _("Its worker died %(count)s times at the same step.") % {"count": job.attempt - 1})
        return
    going_on = True
    while going_on:
        going_on = undo_one(claim) if claim.job.status == JobStatus.UNDOING else run_one(claim)
