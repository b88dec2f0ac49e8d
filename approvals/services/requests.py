"""Record requests, and end them without approval: rejected, withdrawn, expired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, ForbiddenError, NotFoundError
from events.recording import record_event
from tasks import crash_points
from tenants.models import Tenant, User
from tenants.quotas import require_quota
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope

from ..models import ApprovalDecision, ApprovalRequest, ApprovalRequestQuerySet, RequestStatus
from .access import find_delegator, require_decider, require_pending

if TYPE_CHECKING:
    from ..gate import ApprovalRequiredError

# How many requests expire in one transaction.
EXPIRY_BATCH = 500
# So that nobody fills the table with comments.
MAX_DECISIONS = 200


def record_request(held: ApprovalRequiredError) -> ApprovalRequest:
    """Store a call that needs approval, and reserve its quota; return the request, or the pending one for the same command.

    Safe beside other requests: the tenant's row is locked, so each counts the reservations of the one before, and the second
    of two equal requests finds the first. Raises 409 `quota_exceeded`.
    """
    call, tenant = held.call, held.tenant
    with transaction.atomic():
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        same = ApprovalRequest.objects.for_display().filter(
            tenant=tenant, command_digest=held.digest, status=RequestStatus.PENDING
        )
        _expire(same.filter(expires_at__lte=Now()))
        found: ApprovalRequest | None = same.first()
        if found is not None:
            return found
        require_quota(tenant, held.needs)
        require_row_limit(
            tenant, "approval_requests", ApprovalRequest.objects.filter(tenant=tenant).pending()
        )
        first = held.plan["commands"][0]
        request = ApprovalRequest(
            tenant=tenant,
            operation=call.operation.name,
            has_tenant_scope=call.scope.tenant is not None,
            command_digest=held.digest,
            plan=held.plan,
            kind=first["kind"],
            subject=_build_subject(held.plan["commands"]),
            policies=held.terms.policies,
            levels=held.terms.levels,
            reserved_vms=held.needs.vms,
            reserved_cpu_cores=held.needs.cpu_cores,
            reserved_memory_gb=held.needs.memory_gb,
            reserved_disk_gb=held.needs.disk_gb,
            reason=held.reason,
            requested_by=call.scope.user,
            expires_at=held.terms.expires_at,
        )
        request.store_arguments(call.operation.encode_arguments(call.arguments))
        request.save(force_insert=True)
        record_request_event("requested", request)
        open_next_level(request, 0)
        crash_points.crash_point_on_commit("request_recorded")
    return get_request(request.pk)


def _build_subject(commands: Sequence[dict[str, object]]) -> str:
    names = [str(command["object"]["name"]) for command in commands]  # type: ignore[index]
    shown = ", ".join(names[:3])
    return (f"{shown}, … ({len(names)})" if len(names) > 3 else shown)[:300]


def open_next_level(request: ApprovalRequest, level: int) -> None:
    """Open a level of a locked request: from now on, the request waits for its approvers."""
    request.level = level
    terms = request.open_level
    request.waits_for_role = terms["role"]
    request.save(update_fields=["level", "waits_for_role"])
    request.waits_for.set(User.objects.filter(pk__in=terms["users"]))
    users = [str(user) for user in terms["users"]]
    record_request_event("waiting", request, waits_for_role=terms["role"], waits_for_users=users)


def record_request_event(change: str, request: ApprovalRequest, **parameters: object) -> None:
    """Record an event about a request, in the transaction of the change."""
    record_event(
        f"approval.{change}",
        tenant_id=request.tenant_id,
        object_type="approval",
        object_id=request.pk,
        object_name=request.subject,
        parameters={"kind": request.kind, "requested_by": str(request.requested_by_id), **parameters},
    )


def lock_request(scope: Scope, request_id: UUID) -> ApprovalRequest:
    """Lock and return a request of the scope. Raises `NotFoundError`, then 403."""
    rows = ApprovalRequest.objects.within(scope).select_related("tenant")
    request: ApprovalRequest | None = rows.select_for_update(of=("self",)).filter(pk=request_id).first()
    if request is None:
        raise NotFoundError
    scope.require(Role.VIEWER, ApprovalRequest)
    return request


def end_request(
    request: ApprovalRequest,
    status: RequestStatus,
    kind: ApprovalDecision.Kind,
    user: User,
    *,
    comment: str = "",
    on_behalf_of: User | None = None,
) -> None:
    """Write the final status of a locked request, with the decision that ends it and its event."""
    ApprovalDecision.objects.create(
        request=request,
        kind=kind,
        level=request.level,
        user=user,
        user_name=user.get_username(),
        on_behalf_of=on_behalf_of,
        comment=comment,
    )
    request.status = status
    ApprovalRequest.objects.filter(pk=request.pk).update(status=status, ended_at=Now())
    request.waits_for.clear()
    record_request_event(
        kind.value, request, comment=comment, on_behalf_of=on_behalf_of.get_username() if on_behalf_of else ""
    )


def reject_request(*, scope: Scope, request_id: UUID, comment: str = "") -> ApprovalRequest:
    """Reject a request. Raises `NotFoundError`; 403 `own_request`, `not_an_approver`; 409 `already_decided`, `expired`."""
    with transaction.atomic():
        request = lock_request(scope, request_id)
        require_decider(request, scope)
        end_request(
            request,
            RequestStatus.REJECTED,
            ApprovalDecision.Kind.REJECTED,
            scope.user,
            comment=comment,
            on_behalf_of=find_delegator(request, scope.user),
        )
    return get_request(request_id)


def withdraw_request(*, scope: Scope, request_id: UUID, comment: str = "") -> ApprovalRequest:
    """Withdraw one's own request. Raises `NotFoundError`; 403 `not_requested_by_you`; 409 `already_decided`, `expired`."""
    with transaction.atomic():
        request = lock_request(scope, request_id)
        if request.requested_by_id != scope.user.pk:
            raise ForbiddenError(
                "not_requested_by_you", _("Only the user who submitted a request can withdraw it.")
            )
        require_pending(request)
        end_request(
            request,
            RequestStatus.WITHDRAWN,
            ApprovalDecision.Kind.WITHDRAWN,
            scope.user,
            comment=comment,
        )
    return get_request(request_id)


def comment_on_request(*, scope: Scope, request_id: UUID, comment: str) -> ApprovalRequest:
    """Add a comment, by the requester, an approver or another operator. Raises `NotFoundError`, 403 `role_too_low`."""
    with transaction.atomic():
        request = lock_request(scope, request_id)
        if request.requested_by_id != scope.user.pk:
            scope.require(Role.OPERATOR, ApprovalRequest)
        if request.decisions.count() >= MAX_DECISIONS:
            raise ConflictError(
                "limit_reached",
                _("A request has at most %(most)s comments and decisions.") % {"most": MAX_DECISIONS},
            )
        ApprovalDecision.objects.create(
            request=request,
            kind=ApprovalDecision.Kind.COMMENTED,
            user=scope.user,
            user_name=scope.user.get_username(),
            comment=comment,
        )
        record_request_event("commented", request, comment=comment)
    return get_request(request_id)


def get_request(request_id: UUID) -> ApprovalRequest:
    """Return a request with the rows that an answer shows. The caller has checked access."""
    request: ApprovalRequest = ApprovalRequest.objects.for_display().get(pk=request_id)
    return request


def expire_requests() -> int:
    """Expire the requests whose time is over; return their number. A schedule calls it.

    Safe beside decisions: a request that somebody is deciding about is locked and skipped; the decision refuses it itself.
    """
    count = 0
    while True:
        with transaction.atomic():
            due = ApprovalRequest.objects.filter(status=RequestStatus.PENDING, expires_at__lte=Now())
            expired = _expire(due, limit=EXPIRY_BATCH)
        count += expired
        if expired < EXPIRY_BATCH:
            return count


def prune_requests(older_than: datetime) -> int:
    """Delete requests that ended before a time, with their decisions; return their number. Their events stay. A schedule calls it."""
    count = 0
    while True:
        ended = ApprovalRequest.objects.filter(ended_at__lt=older_than).order_by("ended_at")
        ids = list(ended.values_list("pk", flat=True)[:EXPIRY_BATCH])
        ApprovalRequest.objects.filter(pk__in=ids).delete()
        count += len(ids)
        if len(ids) < EXPIRY_BATCH:
            return count


def _expire(requests: ApprovalRequestQuerySet, limit: int = EXPIRY_BATCH) -> int:
    rows = ApprovalRequest.objects.filter(pk__in=requests.values("pk")).order_by("pk")
    due = list(rows.select_for_update(skip_locked=True, of=("self",))[:limit])
    due = [request for request in due if request.status == RequestStatus.PENDING]
    ApprovalRequest.objects.filter(pk__in=[request.pk for request in due]).update(
        status=RequestStatus.EXPIRED, ended_at=Now()
    )
    ApprovalRequest.waits_for.through.objects.filter(approvalrequest__in=due).delete()
    for request in due:
        record_request_event("expired", request)
    return len(due)
