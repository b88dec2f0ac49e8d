"""Apply the rules that give roles to the groups of a provider."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from events.recording import record_event
from tenants.models import Membership, Tenant, User
from tenants.scoping import Role
from tenants.services import list_administrators

from ..models import RoleRule


@dataclass(frozen=True)
class RoleChange:
    """What the rules do to a user's membership of one tenant; a role of None is no membership.

    `is_kept` says that a person gave the membership, so that rules leave it as it is.
    """

    tenant: Tenant
    before: Role | None
    after: Role | None
    is_kept: bool = False

    @property
    def is_change(self) -> bool:
        """Return whether the membership changes."""
        return self.before != self.after


def plan_role_changes(user: User | None, provider: str, groups: Collection[str]) -> list[RoleChange]:
    """Return what the rules of a provider do to the memberships of a user with these groups, by the tenant's name.

    Of several rules for one tenant, the role counts that `Role` names last. A membership that a person gave stays as it is. One that came by a
    rule of this provider, and which no rule gives any more, ends. A user of None is one that does not exist yet.
    """
    granted: dict[UUID, Role] = {}
    tenants: dict[UUID, Tenant] = {}
    ranks = list(Role)
    rules = RoleRule.objects.filter(provider=provider, group__in=list(groups)).select_related("tenant")
    for rule in rules:
        tenants[rule.tenant_id] = rule.tenant
        role = Role(rule.role)
        granted[rule.tenant_id] = max(role, granted.get(rule.tenant_id, role), key=ranks.index)
    changes = []
    members = Membership.objects.filter(user=user).select_related("tenant") if user else []
    for member in members:
        tenant_id, role = member.tenant_id, Role(member.role)
        given = granted.pop(tenant_id, None)
        if member.rule_provider == provider:
            changes.append(RoleChange(member.tenant, role, given))
        elif given is not None:
            changes.append(RoleChange(member.tenant, role, role, is_kept=True))
    changes += [RoleChange(tenants[tenant_id], None, role) for tenant_id, role in granted.items()]
    return sorted(changes, key=lambda change: change.tenant.name)


def apply_rules(user: User, provider: str, groups: Collection[str]) -> list[RoleChange]:
    """Apply the rules to a user who signs in, in the caller's transaction; return the changes.

    The provider decides, so even the only administrator of a tenant loses a role that a rule gave: somebody who has left the
    department must not keep it. Then the event `tenant.without_administrator` says so, and platform administrators can appoint
    another one.
    """
    if not any(change.is_change for change in plan_role_changes(user, provider, groups)):
        return []
    with transaction.atomic():
        # All tenants are locked in one order, as `tenants.services` does for one: changes of members wait for each other.
        ids = {change.tenant.pk for change in plan_role_changes(user, provider, groups)}
        list(Tenant.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
        changes = [
            change
            for change in plan_role_changes(user, provider, groups)
            if change.is_change and change.tenant.pk in ids
        ]
        for change in changes:
            _apply(user, provider, change)
    return changes


def _apply(user: User, provider: str, change: RoleChange) -> None:
    members = Membership.objects.filter(user=user, tenant=change.tenant)
    if change.after is None:
        members.filter(rule_provider=provider).delete()
    elif change.before is None:
        Membership.objects.create(user=user, tenant=change.tenant, role=change.after, rule_provider=provider)
    else:
        members.filter(rule_provider=provider).update(role=change.after)
    if change.before == Role.ADMIN and not list_administrators(change.tenant).exists():
        record_event(
            "tenant.without_administrator",
            tenant_id=change.tenant.pk,
            object_type="tenant",
            object_id=change.tenant.pk,
            object_name=change.tenant.name,
            parameters={"user": user.username, "provider": provider},
        )
