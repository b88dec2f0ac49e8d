"""Decide which policies a request falls under, and who has to agree to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch, Q
from django.utils import timezone

from api.time_zones import find_time_zone
from tenants.models import Tenant

from .models import ApprovalPolicy, PolicyApprover
from .plans import Plan

SIZES = ("cpu_cores", "memory_gb", "disk_gb")
WORKDAYS = range(5)  # Monday to Friday.


@dataclass(frozen=True, slots=True)
class Terms:
    """Who has to agree to a request, level after level, and until when. `policies` are the names of those that say so."""

    levels: list[dict[str, Any]]
    expires_at: datetime
    policies: list[str]


def list_policies(tenant: Tenant, kinds: set[str]) -> list[ApprovalPolicy]:
    """Return the active policies of a tenant and of the platform for kinds of commands."""
    policies = ApprovalPolicy.objects.filter(Q(tenant=tenant) | Q(tenant=None), active=True).order_by(
        "tenant_id", "name"
    )
    approvers = Prefetch("approvers", PolicyApprover.objects.order_by("pk"))
    found = policies.prefetch_related(approvers)
    return [policy for policy in found if kinds & {*policy.commands}]


def find_terms(policies: Sequence[ApprovalPolicy], tenant: Tenant, plan: Plan) -> Terms | None:
    """Return the terms of the policies that match a plan; None when none of them does.

    All that match have to be met, so no tenant gets around a policy of the platform with one of its own. Equal levels of
    different policies count once. The tenant's levels come before the platform's.
    """
    now = timezone.now()
    matching = [policy for policy in policies if matches(policy, tenant, plan, now)]
    if not matching:
        return None
    matching.sort(key=lambda policy: policy.tenant_id is None)
    needed: Counter[str] = Counter()
    levels: list[dict[str, Any]] = []
    for policy in matching:
        own: Counter[str] = Counter()
        for level in list_levels(policy):
            key = f"{level['role']}:{','.join(level['users'])}"
            own[key] += 1
            if own[key] > needed[key]:
                needed[key] += 1
                levels.append(level)
    hours = min(policy.valid_hours for policy in matching)
    return Terms(levels, now + timedelta(hours=hours), [policy.name for policy in matching])


def list_levels(policy: ApprovalPolicy) -> list[dict[str, Any]]:
    """Return the levels of a policy, as a request stores them."""
    approvers = list(policy.approvers.all())
    return [
        {
            "role": getattr(policy, f"level{number}_role"),
            "users": sorted(str(one.user_id) for one in approvers if one.level == number),
        }
        for number in range(1, policy.level_count + 1)
    ]


def matches(policy: ApprovalPolicy, tenant: Tenant, plan: Plan, now: datetime) -> bool:
    """Return whether a policy holds for a plan: for one of its commands, and for their number."""
    commands = [command for command in plan["commands"] if command["kind"] in policy.commands]
    count = sum(int(command["details"].get("count", 1)) for command in commands)
    if not commands or (policy.min_count is not None and count < policy.min_count):
        return False
    return _holds_at(policy, tenant, now) and any(_is_met(policy, command["details"]) for command in commands)


def _is_met(policy: ApprovalPolicy, details: dict[str, Any]) -> bool:
    """Return whether a command meets every condition. One that says nothing of a size is agreed to, rather than missed."""
    for name in SIZES:
        least, size = getattr(policy, f"min_{name}"), details.get(name)
        if least is not None and size is not None and size < least:
            return False
    types = details.get("data_center_types")
    return not policy.data_center_types or types is None or bool({*types} & {*policy.data_center_types})


def _holds_at(policy: ApprovalPolicy, tenant: Tenant, now: datetime) -> bool:
    if policy.applies_at == ApprovalPolicy.AppliesAt.ALWAYS:
        return True
    local = now.astimezone(find_time_zone(tenant.time_zone))
    is_working = local.weekday() in WORKDAYS and policy.work_begins <= local.time() < policy.work_ends
    return is_working == (policy.applies_at == ApprovalPolicy.AppliesAt.WORKING_HOURS)
