"""Create, change and delete policies of approval, and delegations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from tenants.models import Membership, Tenant, User
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row, require_tenant

from ..models import ApprovalDelegation, ApprovalPolicy, ApproverRole, PolicyApprover

LEVELS = (1, 2)
POLICIES = ApprovalPolicy.objects.select_related("tenant").prefetch_related("approvers__user")


def create_policy(*, scope: Scope, fields: dict[str, Any]) -> ApprovalPolicy:
    """Create a policy of the scope's tenant; of the platform, for staff who named none.

    Raises 403 `role_too_low`, `permission_missing`; 400 by field; 409 `name_taken`, `limit_reached`.
    """
    scope.require(Role.ADMIN, ApprovalPolicy)
    policy = ApprovalPolicy(tenant=scope.tenant)
    with transaction.atomic():
        if scope.tenant is not None:
            require_row_limit(
                scope.tenant, "approval_policies", ApprovalPolicy.objects.filter(tenant=scope.tenant)
            )
        _write(policy, fields)
    return _get_policy(policy.pk)


def change_policy(*, scope: Scope, policy_id: UUID, fields: dict[str, Any]) -> ApprovalPolicy:
    """Change a policy. Requests that wait keep the terms that they were submitted under. Raises as `create_policy`, and 404."""
    with transaction.atomic():
        policy: ApprovalPolicy = lock_row(ApprovalPolicy.objects.all(), scope, policy_id, Role.ADMIN)
        _write(policy, fields)
    return _get_policy(policy_id)


def _get_policy(policy_id: UUID) -> ApprovalPolicy:
    policy: ApprovalPolicy = POLICIES.get(pk=policy_id)
    return policy


def remove_policy(*, scope: Scope, policy_id: UUID) -> None:
    """Delete a policy. Requests that wait keep their terms. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        lock_row(ApprovalPolicy.objects.all(), scope, policy_id, Role.ADMIN).delete()


def _write(policy: ApprovalPolicy, fields: dict[str, Any]) -> None:
    users = {level: fields.pop(f"level{level}_users", None) for level in LEVELS}
    for name, value in fields.items():
        setattr(policy, name, value)
    approvers = {
        level: _find_approvers(policy.tenant, level, names)
        for level, names in users.items()
        if names is not None
    }
    _require_approvers(policy, approvers)
    if policy.work_begins >= policy.work_ends:
        raise InvalidFieldsError({"work_ends": [_("The end has to be later than the start.")]})
    try:
        with transaction.atomic():
            policy.save()
    except IntegrityError as error:
        if violated_constraint(error) not in {"approval_policy_name", "approval_policy_name_of_platform"}:
            raise
        raise ConflictError(
            "name_taken",
            _("There is already a policy named '%(name)s'.") % {"name": policy.name},
            errors={"name": [_("This name is already in use.")]},
        ) from None
    for level, found in approvers.items():
        listed = PolicyApprover.objects.filter(policy=policy, level=level)
        listed.exclude(user__in=found).delete()
        known = set(listed.values_list("user", flat=True))
        PolicyApprover.objects.bulk_create(
            PolicyApprover(tenant=policy.tenant, policy=policy, level=level, user=user)
            for user in found
            if user.pk not in known
        )


def _find_approvers(tenant: Tenant | None, level: int, names: Sequence[str]) -> list[User]:
    """Return users by name: members of the policy's tenant, or any for a policy of the platform. Raises 400 by field."""
    users = User.objects.filter(username__in=names, is_active=True)
    if tenant is not None:
        users = users.filter(memberships__tenant=tenant)
    found = {user.get_username(): user for user in users}
    if missing := [name for name in names if name not in found]:
        message = _("Not a member: %(names)s.") if tenant else _("User not found: %(names)s.")
        raise InvalidFieldsError({f"level{level}_users": [message % {"names": ", ".join(missing[:10])}]})
    return list(found.values())


def _require_approvers(policy: ApprovalPolicy, approvers: dict[int, list[User]]) -> None:
    """Refuse a level that nobody could approve. Raises 400 by field."""
    for level in LEVELS[: policy.level_count]:
        listed = approvers.get(level)
        if listed is None:
            is_listed = PolicyApprover.objects.filter(policy=policy.pk, level=level).exists()
        else:
            is_listed = bool(listed)
        if getattr(policy, f"level{level}_role") == ApproverRole.NOBODY and not is_listed:
            message = _("Select a role, or list users, who approve.")
            raise InvalidFieldsError({f"level{level}_role": [message]})


def create_delegation(*, scope: Scope, fields: dict[str, Any]) -> ApprovalDelegation:
    """Let another member approve in the user's place for a period. Raises 400 by field, 409 `limit_reached`."""
    tenant = require_tenant(scope)
    scope.require(Role.OPERATOR, ApprovalDelegation)
    member = Membership.objects.filter(
        Q(user__username=fields["delegate"], user__is_active=True), tenant=tenant
    ).first()
    if member is None:
        raise InvalidFieldsError(
            {"delegate": [_("Not a member: %(names)s.") % {"names": fields["delegate"]}]}
        )
    if member.user_id == scope.user.pk:
        raise InvalidFieldsError({"delegate": [_("Select somebody else.")]})
    with transaction.atomic():
        own = ApprovalDelegation.objects.filter(tenant=tenant)
        require_row_limit(tenant, "approval_delegations", own)
        return ApprovalDelegation.objects.create(
            tenant=tenant,
            user=scope.user,
            delegate=member.user,
            starts_at=fields["starts_at"],
            ends_at=fields["ends_at"],
        )


def remove_delegation(*, scope: Scope, delegation_id: UUID) -> None:
    """End a delegation: one's own, or as an administrator anybody's. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        rows = ApprovalDelegation.objects.within(scope).select_for_update(of=("self",))
        delegation = rows.filter(pk=delegation_id).first()
        if delegation is None:
            raise NotFoundError
        if delegation.user_id != scope.user.pk:
            scope.require(Role.ADMIN, ApprovalDelegation)
        delegation.delete()
