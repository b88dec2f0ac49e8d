"""Approve requests: the stored call is repeated as its requester, in the transaction of the approval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, DomainError, NotFoundError
from tasks import crash_points
from tasks.models import Job
from tasks.operations import current_call, find_operation, repeat_call
from tenants.models import User
from tenants.quotas import Needs
from tenants.scoped_views import build_scope
from tenants.scoping import Scope, require_staff_permission

from ..models import ApprovalDecision, ApprovalRequest, RequestStatus
from ..plans import Plan, build_plan, digest_value, find_differences, sum_needs
from .access import DECIDE_PERMISSION, find_delegator, require_decider, require_pending
from .requests import end_request, get_request, lock_request, open_next_level, record_request_event


@dataclass(frozen=True, slots=True)
class ApprovalResult:
    """A request after a decision; `jobs` carry it out, once it is approved."""

    request: ApprovalRequest
    jobs: list[Job]


class PlanChangedError(Exception):
    """The repeated call would record other commands than those that were agreed to."""

    def __init__(self, plan: Plan, needs: Needs) -> None:
        self.plan, self.needs = plan, needs
        super().__init__("The plan of the request has changed.")


def approve_request(*, scope: Scope, request_id: UUID, comment: str = "") -> ApprovalResult:
    """Approve the open level of a request; with the last one, carry the request out.

    It is validated anew with the requester's present rights. If its commands differ from those that were agreed to, nothing is
    carried out: the request keeps the new plan with the difference, and waits for every level again.

    Raises `NotFoundError`; 403 `own_request`, `not_an_approver`; 409 `already_decided` with who decided, `already_approved`,
    `expired`; and 409 `no_longer_valid` with the reason, which leaves the request as it was.

    Safe for many approvers at once, and for a crash at any point: the request's row is locked from the first check to the commit
    that has both the decision and the job, so the second finds the first one's decision, and there is never one without
    the other.
    """
    with transaction.atomic():
        request = lock_request(scope, request_id)
        require_decider(request, scope)
        crash_points.crash_point("approval_locked")
        delegator = find_delegator(request, scope.user)
        if request.level + 1 < len(request.levels):
            _write_approval(request, scope.user, comment, delegator)
            open_next_level(request, request.level + 1)
            return ApprovalResult(get_request(request_id), [])
        try:
            with transaction.atomic():
                end_request(
                    request,
                    RequestStatus.APPROVED,
                    ApprovalDecision.Kind.APPROVED,
                    scope.user,
                    comment=comment,
                    on_behalf_of=delegator,
                )
                jobs = carry_out(request)
        except PlanChangedError as changed:
            request.refresh_from_db()
            _write_approval(request, scope.user, comment, delegator)
            _write_new_plan(request, changed)
            return ApprovalResult(get_request(request_id), [])
    return ApprovalResult(get_request(request_id), jobs)


def break_glass(*, scope: Scope, request_id: UUID, reason: str) -> ApprovalResult:
    """Carry a request out at once, as staff, without its approvals. The reason is recorded, and shown to the approvers.

    A plan that has changed is carried out as it is now; the difference is kept. Raises `NotFoundError`; 403 `staff_only`,
    `permission_missing`; 409 as `approve_request`.
    """
    with transaction.atomic():
        request = lock_request(scope, request_id)
        require_staff_permission(scope.user, DECIDE_PERMISSION)
        require_pending(request)
        end_request(
            request,
            RequestStatus.APPROVED,
            ApprovalDecision.Kind.BROKE_GLASS,
            scope.user,
            comment=reason,
        )
        jobs = carry_out(request, accepts_changes=True)
    return ApprovalResult(get_request(request_id), jobs)


def carry_out(request: ApprovalRequest, *, accepts_changes: bool = False) -> list[Job]:
    """Repeat the stored call of a locked request as its requester, and return its jobs.

    Its status has been written already, so that its reservation does not count against itself. Raises `PlanChangedError`; 409
    `no_longer_valid` with the reason.
    """

    def check(plan: Plan) -> None:
        if digest_value(plan) == digest_value(request.plan):
            return
        if not accepts_changes:
            call = current_call()
            raise PlanChangedError(plan, sum_needs(request.tenant, call.needs if call else []))
        request.difference, request.plan = find_differences(request.plan, plan), plan
        request.save(update_fields=["difference", "plan"])

    operation = find_operation(request.operation)
    if operation is None:
        raise _build_invalid_error(
            ConflictError("unknown_operation", _("This release does not know the operation any more."))
        )
    try:
        scope = build_requester_scope(request)
        arguments = operation.decode_arguments(request.read_arguments())
        jobs = repeat_call(operation, scope, arguments, describe=build_plan, check=check)
    except DomainError as refused:
        raise _build_invalid_error(refused) from refused
    crash_points.crash_point("approval_submitted")
    job_ids = [str(job.pk) for job in jobs]
    request.job, request.job_ids = (jobs[0] if jobs else None), job_ids
    request.save(update_fields=["job", "job_ids"])
    crash_points.crash_point_on_commit("approved")
    return jobs


def build_requester_scope(request: ApprovalRequest) -> Scope:
    """Return the scope of the requester with their present rights. Raises `DomainError` when they have none any more."""
    user = request.requested_by
    if user is None or not user.is_active:
        raise NotFoundError("requester_gone", _("The user who submitted the request is no longer active."))
    return build_scope(user, request.tenant.slug if request.has_tenant_scope else "")


def _build_invalid_error(refused: DomainError) -> ConflictError:
    return ConflictError(
        "no_longer_valid",
        _("The request can no longer be carried out: %(reason)s") % {"reason": refused.detail},
        reason={"code": refused.code, "detail": str(refused.detail), **_plain_errors(refused)},
    )


def _plain_errors(refused: DomainError) -> dict[str, Any]:
    return {"errors": refused.errors} if refused.errors else {}


def _write_approval(request: ApprovalRequest, user: User, comment: str, delegator: User | None) -> None:
    ApprovalDecision.objects.create(
        request=request,
        kind=ApprovalDecision.Kind.APPROVED,
        level=request.level,
        user=user,
        user_name=user.get_username(),
        on_behalf_of=delegator,
        comment=comment,
    )
    record_request_event(
        "approved",
        request,
        level=request.level + 1,
        comment=comment,
        on_behalf_of=delegator.get_username() if delegator else "",
    )


def _write_new_plan(request: ApprovalRequest, changed: PlanChangedError) -> None:
    """Store the changed plan of a request, and ask everybody again: what was approved was another plan."""
    request.difference = find_differences(request.plan, changed.plan)
    request.plan = changed.plan
    for name in Needs.__dataclass_fields__:
        setattr(request, f"reserved_{name}", getattr(changed.needs, name))
    request.save()
    request.decisions.filter(kind=ApprovalDecision.Kind.APPROVED).update(is_void=True)
    open_next_level(request, 0)
    record_request_event("plan_changed", request, difference=request.difference[:20])
