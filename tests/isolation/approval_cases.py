"""The operations of requests, policies and delegations: see `cases.py`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from tenants.models import Membership
from tenants.scoping import Role
from tests.approvals.making import make_delegation, make_policy, make_request
from tests.factories import MembershipFactory

from .case import Case, Ids

REQUEST = "/api/v1/requests/{id}/"
POLICY = "/api/v1/approval-policies/{id}/"


def create_request(member: Membership) -> Ids:
    return {"id": make_request(member.tenant, approver=member.user).pk}


def create_own_request(member: Membership) -> Ids:
    return {"id": make_request(member.tenant, requester=member.user).pk}


def create_policy(member: Membership) -> Ids:
    return {"id": make_policy(member.tenant).pk}


def create_delegation(member: Membership) -> Ids:
    return {"id": make_delegation(member.tenant, member.user).pk}


def build_decisions(member: Membership) -> dict[str, Any]:
    return {"ids": [str(make_request(member.tenant, approver=member.user).pk)], "decision": "reject"}


def build_delegation(member: Membership) -> dict[str, Any]:
    delegate = MembershipFactory(tenant=member.tenant).user
    until = timezone.now() + timedelta(days=1)
    return {"delegate": delegate.username, "ends_at": until.isoformat()}


APPROVAL_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/requests/"): Case(200),
    ("POST", "/api/v1/requests/decisions/"): Case(
        200, body=build_decisions, bad_body={"ids": [], "decision": "perhaps"}
    ),
    ("GET", REQUEST): Case(200, ids=create_request),
    ("POST", f"{REQUEST}approve/"): Case(
        202, ids=create_request, body=lambda member: {}, bad_body={"word": "yes"}
    ),
    ("POST", f"{REQUEST}reject/"): Case(
        202, ids=create_request, body=lambda member: {"comment": "no"}, bad_body={"word": "no"}
    ),
    ("POST", f"{REQUEST}withdraw/"): Case(
        202, ids=create_own_request, body=lambda member: {}, bad_body={"word": "no"}
    ),
    ("POST", f"{REQUEST}comments/"): Case(
        201, ids=create_own_request, body=lambda member: {"comment": "soon?"}, bad_body={"comment": ""}
    ),
    ("POST", f"{REQUEST}break-glass/"): Case(
        202,
        None,
        staff=True,
        ids=create_request,
        body=lambda member: {"reason": "fire"},
        bad_body={"reason": ""},
    ),
    ("POST", "/api/v1/quota-requests/"): Case(
        202, Role.ADMIN, body=lambda member: {"vms": 50, "reason": "the shop grows"}, bad_body={"vms": -1}
    ),
    ("GET", "/api/v1/approval-policies/"): Case(200),
    ("POST", "/api/v1/approval-policies/"): Case(
        201,
        Role.ADMIN,
        body=lambda member: {"name": "Large VMs", "commands": ["vms.create"], "min_cpu_cores": 8},
        bad_body={"name": "", "commands": ["vms.fly"]},
    ),
    ("GET", POLICY): Case(200, ids=create_policy),
    ("PATCH", POLICY): Case(
        200,
        Role.ADMIN,
        ids=create_policy,
        body=lambda member: {"valid_hours": 8},
        bad_body={"valid_hours": 0},
    ),
    ("DELETE", POLICY): Case(204, Role.ADMIN, ids=create_policy),
    ("GET", "/api/v1/approval-delegations/"): Case(200),
    ("POST", "/api/v1/approval-delegations/"): Case(
        201, Role.OPERATOR, body=build_delegation, bad_body={"delegate": "", "ends_at": "tomorrow"}
    ),
    ("DELETE", "/api/v1/approval-delegations/{id}/"): Case(204, ids=create_delegation),
}
