"""Rows of approvals for tests of other rooms."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from approvals.gate import ApprovalRequiredError
from approvals.matching import Terms
from approvals.models import ApprovalDelegation, ApprovalPolicy, ApprovalRequest, PolicyApprover
from approvals.quota_requests import change_quota
from approvals.services import record_request
from tenants.models import Tenant, User
from tenants.scoping import Role, Scope
from tests.factories import MembershipFactory


def make_policy(tenant: Tenant | None, name: str = "Two people") -> ApprovalPolicy:
    """Make a policy of a tenant, or of the platform, that lists an approver."""
    policy = ApprovalPolicy.objects.create(tenant=tenant, name=name, commands=["vms.create"])
    user = MembershipFactory(**({"tenant": tenant} if tenant else {})).user
    PolicyApprover.objects.create(policy=policy, tenant=tenant, level=1, user=user)
    return policy


def make_request(
    tenant: Tenant, *, approver: User | None = None, requester: User | None = None, vms: int = 50
) -> ApprovalRequest:
    """Make a request for another quota that waits for a user, by an administrator of the tenant."""
    user = requester or MembershipFactory(tenant=tenant, role=Role.ADMIN).user
    try:
        change_quota(
            scope=Scope(user, tenant, Role.ADMIN, Role.ADMIN), quotas={"vms": vms}, reason="the shop grows"
        )
    except ApprovalRequiredError as held:
        level = {"role": "" if approver else "admin", "users": [str(approver.pk)] if approver else []}
        held.terms = Terms([level], timezone.now() + timedelta(days=3), ["Two people"])
        return record_request(held)
    raise AssertionError("A change of quotas is always deferred.")


def make_delegation(tenant: Tenant, user: User | None = None) -> ApprovalDelegation:
    """Make a delegation that holds now."""
    return ApprovalDelegation.objects.create(
        tenant=tenant,
        user=user or MembershipFactory(tenant=tenant).user,
        delegate=MembershipFactory(tenant=tenant).user,
        starts_at=timezone.now() - timedelta(hours=1),
        ends_at=timezone.now() + timedelta(days=1),
    )
