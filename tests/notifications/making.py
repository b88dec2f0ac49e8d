"""Members, subscriptions and events for the tests of this folder."""

from __future__ import annotations

from typing import Any

from events.models import Event
from events.recording import record_event
from notifications.models import Subscription
from notifications.services import subscriptions
from tenants.models import Membership, Tenant, User
from tenants.scoping import Role, Scope
from tests.factories import MembershipFactory, UserFactory


def join(tenant: Tenant, role: Role = Role.OPERATOR, **fields: Any) -> Membership:
    user = UserFactory(**{"email": f"{role}@example.org", **fields})
    return MembershipFactory(tenant=tenant, user=user, role=role)


def subscribe(member: Membership, **fields: Any) -> Subscription:
    scope = Scope(member.user, member.tenant, Role(member.role))
    fields = {"name": "mine", "channel": "mail", "codes": ["task.failed"], **fields}
    return subscriptions.create_subscription(scope=scope, fields=fields)


def record(tenant: Tenant, name: str, *, user: User | None = None, code: str = "task.failed") -> Event:
    actor = {"actor_id": user.pk, "actor_name": user.get_username(), "actor_type": "user"} if user else {}
    parameters = {"kind": "vms.start", "task": "0" * 8 + "-0000-4000-8000-" + "0" * 12}
    return record_event(
        code, tenant_id=tenant.pk, object_type="vm", object_name=name, parameters=parameters, **actor
    )
