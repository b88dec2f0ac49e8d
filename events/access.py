"""Access to events: auditors and administrators of a tenant read those of their tenant, and staff who may view events read all.

Events tell the addresses and failures of other members, so a tenant's viewers and operators do not read them. Staff need the
permission "view", and no right to change anything: with it alone, they are auditors of all tenants.
"""

from __future__ import annotations

from tenants.scoping import Role, Scope

from .models import Event


def require_event_access(scope: Scope) -> None:
    """Refuse callers who may not read the events of the scope: 403 `role_too_low`, or `permission_missing` for staff."""
    scope.require(Role.AUDITOR, Event)


def may_read_events(scope: Scope) -> bool:
    """Return whether `require_event_access` lets the caller pass."""
    return scope.allows(Role.AUDITOR, Event)
