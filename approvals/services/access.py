"""The users who may decide about a request."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, ForbiddenError
from tenants.models import Membership, User
from tenants.scoping import Role, Scope, has_staff_permission

from ..models import (
    ApprovalDecision,
    ApprovalDelegation,
    ApprovalRequest,
    ApprovalRequestQuerySet,
    ApproverRole,
    RequestStatus,
)

# The permission of staff for the level "platform administrators", and to carry out a request without approval.
DECIDE_PERMISSION = "approvals.change_approvalrequest"
# The roles of members that satisfy a level's role.
_MEMBER_ROLES = {
    ApproverRole.OPERATOR: [Role.OPERATOR, Role.ADMIN],
    ApproverRole.ADMIN: [Role.ADMIN],
}


def select_waiting_for(requests: ApprovalRequestQuerySet, user: User) -> ApprovalRequestQuerySet:
    """Return the pending requests that wait for a user: by role, by name, or as the delegate of somebody. One query.

    Roles, memberships and delegations are those of now, so a role that was lost, and a user who was deactivated, decide
    nothing. Nobody decides about their own request, lets a delegate do so, or approves two levels of the same request.
    """
    is_approver = Exists(_listed().filter(user=user)) | Exists(_select_delegators(user, is_listed=True))
    for role, member_roles in _MEMBER_ROLES.items():
        members = Membership.objects.filter(tenant=OuterRef("tenant"), tenant__active=True, user=user)
        has_role = Exists(members.filter(role__in=member_roles))
        is_delegate = Exists(_select_delegators(user, member_roles))
        is_approver |= Q(waits_for_role=role) & Q(has_role | is_delegate)
    if has_staff_permission(user, DECIDE_PERMISSION):
        is_approver |= Q(waits_for_role=ApproverRole.STAFF)
    waiting = requests.pending().exclude(requested_by=user).filter(is_approver)
    return waiting.filter(~Exists(_select_approvals().filter(Q(user=user) | Q(on_behalf_of=user))))


def count_waiting_for(scope: Scope) -> int:
    """Return how many requests wait for the user of a scope, at most 100, for the navigation of each page.

    Mostly nothing is pending. That is asked first, because the query about one user's roles, lists and delegations takes a
    fifth of a page's time, most of it in Django, which builds it.
    """
    requests = ApprovalRequest.objects.within(scope)
    if not requests.pending().exists():
        return 0
    waiting = select_waiting_for(requests, scope.user)
    return waiting.order_by()[:100].count()


def _listed(request: OuterRef | None = None) -> QuerySet[Any]:
    """Return the users that the open level lists by name."""
    through = ApprovalRequest.waits_for.through
    return through.objects.filter(approvalrequest=request or OuterRef("pk"))


def _select_approvals() -> QuerySet[ApprovalDecision]:
    return ApprovalDecision.objects.filter(
        request=OuterRef("pk"), kind=ApprovalDecision.Kind.APPROVED, is_void=False
    )


def _select_delegators(
    user: User, roles: list[Role] | None = None, *, is_listed: bool = False
) -> QuerySet[ApprovalDelegation]:
    """Return the delegations by which a user may decide about a request in the place of somebody who could."""
    conditions = {
        "delegate": user,
        "tenant": OuterRef("tenant"),
        "user__is_active": True,
        "user__memberships__tenant": OuterRef("tenant"),
    }
    if roles is not None:
        # In the same call as the tenant, so that both are of the same membership.
        conditions["user__memberships__role__in"] = roles
    if is_listed:
        conditions["user__in"] = _listed(OuterRef(OuterRef("pk"))).values("user")
    delegations = ApprovalDelegation.objects.active().filter(**conditions)
    return delegations.filter(~Q(user=OuterRef("requested_by")))


def find_delegator(request: ApprovalRequest, user: User) -> User | None:
    """Return the person in whose place a user decides about a request; None for a user who is an approver themselves.

    Call it for a user that `select_waiting_for` has found.
    """
    level = request.open_level
    if str(user.pk) in level["users"]:
        return None
    if level["role"] == ApproverRole.STAFF and has_staff_permission(user, DECIDE_PERMISSION):
        return None
    roles = _MEMBER_ROLES.get(level["role"], [])
    members = Membership.objects.filter(tenant=request.tenant_id)
    if members.filter(user=user, role__in=roles).exists():
        return None
    can_decide = Q(user__in=level["users"]) | Q(
        user__in=members.filter(role__in=roles).values("user"),
    )
    delegations = ApprovalDelegation.objects.active().filter(
        can_decide, delegate=user, tenant=request.tenant_id, user__is_active=True
    )
    delegation = delegations.exclude(user=request.requested_by_id).select_related("user").first()
    return delegation.user if delegation else None


def require_decider(request: ApprovalRequest, scope: Scope) -> None:
    """Refuse a user who may not decide about a request now.

    Raises 403 `own_request`, `not_an_approver`; 409 `already_decided` with the decision, `expired`, `already_approved`. The
    caller has locked the request.
    """
    user = scope.user
    if request.requested_by_id == user.pk:
        raise ForbiddenError("own_request", _("You can't approve or reject your own request."))
    own = request.decisions.filter(kind=ApprovalDecision.Kind.APPROVED, is_void=False)
    require_pending(request)
    if own.filter(Q(user=user) | Q(on_behalf_of=user)).exists():
        raise ConflictError(
            "already_approved", _("You have approved this request. The next level needs somebody else.")
        )
    if not select_waiting_for(ApprovalRequest.objects.filter(pk=request.pk), user).exists():
        raise ForbiddenError("not_an_approver", _("You are not an approver of this request."))


def require_pending(request: ApprovalRequest) -> None:
    """Refuse what was decided already: 409 `already_decided` with the decision; and 409 `expired`."""
    if request.status == RequestStatus.PENDING:
        if ApprovalRequest.objects.pending().filter(pk=request.pk).exists():
            return
        raise _build_expired_error(request)
    if request.status == RequestStatus.EXPIRED:
        raise _build_expired_error(request)
    last = request.decisions.exclude(kind=ApprovalDecision.Kind.COMMENTED).order_by(F("pk").desc()).first()
    raise ConflictError(
        "already_decided",
        _("This request was already decided: %(status)s by %(user)s.")
        % {"status": RequestStatus(request.status).label, "user": last.user_name if last else "?"},
        request_status=request.status,
        decided_by=last.user_name if last else "",
    )


def _build_expired_error(request: ApprovalRequest) -> ConflictError:
    return ConflictError(
        "expired",
        _("This request has expired. Submit it again."),
        expires_at=request.expires_at.isoformat(),
    )
