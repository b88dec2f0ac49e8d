"""Use cases of jobs: cancel, decide, wait."""

from __future__ import annotations

import time
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, NotFoundError
from tenants.scoping import Role, Scope, has_staff_permission, require_staff_permission

from . import engine
from .command import UnknownKindError, command_class
from .models import ENDED, Job, JobStatus
from .waiting import waiting_slot

# The permission that staff need for decisions about jobs in trouble.
DECIDE_PERMISSION = "tasks.change_job"


def cancel_job(*, scope: Scope, job_id: UUID) -> Job:
    """Cancel a job: it stops at its next step boundary and undoes its effects.

    Raises `NotFoundError` when the scope does not show it, `DomainError` 403 `role_too_low`, or `staff_only` for what only staff
    may request, or 409 `not_cancellable`.
    """
    with transaction.atomic():
        job: Job | None = Job.objects.within(scope).filter(pk=job_id).first()
        if job is None:
            raise NotFoundError
        scope.require(Role.OPERATOR, Job)
        if permission := _find_cancel_permission(job.kind):
            require_staff_permission(scope.user, permission)
        if job.parent_id is not None:
            raise ConflictError(
                "not_cancellable",
                _("This is a subtask of %(root)s. Cancel its parent task instead.") % {"root": job.root_id},
                root=str(job.root_id),
            )
        if not engine.cancel(job) and not (job.status not in ENDED and job.cancel_requested_at):
            raise ConflictError(
                "not_cancellable",
                _("A task in state '%(status)s' can no longer be canceled.")
                % {"status": JobStatus(job.status).label},
            )
        job.refresh_from_db()
        return job


def may_cancel(scope: Scope, kind: str) -> bool:
    """Return whether the caller may cancel jobs of a kind; its button is shown to nobody else."""
    permission = _find_cancel_permission(kind)
    return scope.allows(Role.OPERATOR, Job) and (
        not permission or has_staff_permission(scope.user, permission)
    )


def _find_cancel_permission(kind: str) -> str:
    try:
        return command_class(kind).cancel_permission
    except UnknownKindError:
        return ""


def decide_job(*, scope: Scope, job_id: UUID, decision: str, reason: str, undo: bool = False) -> Job:
    """Resume, end or retry a job in trouble; return the job that continues, has ended or was created.

    Raises `NotFoundError` when the scope does not show it; `DomainError`: 403 `staff_only`, `permission_missing`; 409
    `wrong_state` (with the allowed decisions), `children_open`, `unknown_kind`, and for a retry the refusals of the command
    (`busy`, ...).
    """
    with transaction.atomic():
        job: Job | None = Job.objects.within(scope).filter(pk=job_id).first()
        if job is None:
            raise NotFoundError
        require_staff_permission(scope.user, DECIDE_PERMISSION)
        job = engine.lock_for_decision(job, decision)
        if decision == "resume":
            return engine.resume(job, scope.user, reason)
        if decision == "retry":
            return engine.retry(job, scope.user, reason)
        if job.status == JobStatus.ERRORED:
            return engine.mark_handled(job, scope.user, reason)
        return engine.end_stuck(job, scope.user, reason, undo=undo)


def wait_for_job(job: Job, seconds: float) -> Job:
    """Wait until a job has ended or is stuck, at most for `seconds`; return the job.

    Call it outside of any transaction. Each check is one small query.
    """
    if seconds <= 0:
        return job
    with waiting_slot(job.tenant_id) as may_wait:
        if not may_wait:
            return job
        until, pause = time.monotonic() + seconds, 0.03
        while time.monotonic() < until:
            status = Job.objects.filter(pk=job.pk).values_list("status", flat=True).first()
            if status is None or status in ENDED or status == JobStatus.STUCK:
                break
            time.sleep(min(pause, max(0.0, until - time.monotonic())))
            pause = min(0.1, pause * 1.3)
    job.refresh_from_db()
    return job
