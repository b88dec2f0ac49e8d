"""Access to events: administrators of a tenant read those of their tenant, and staff who may view events read all."""

from __future__ import annotations

from tenants.scoping import Role, Scope, require_staff_permission

from .models import Event

PERMISSION = "events.view_event"


def require_event_access(scope: Scope) -> None:
    """Refuse callers who may not read the events of the scope: 403.

    Staff need the permission "view", and no right to change anything: with it alone, they are auditors. Events tell the
    addresses and failures of other members, so a tenant's viewers and operators do not read them.
    """
    if scope.user.is_staff and scope.granted_role != Role.ADMIN:
        require_staff_permission(scope.user, PERMISSION)
    else:
        scope.require(Role.ADMIN, Event)


def may_read_events(scope: Scope) -> bool:
    """Return whether `require_event_access` lets the caller pass."""
    if scope.user.is_staff and scope.granted_role != Role.ADMIN:
        return scope.user.has_perm(PERMISSION)
    return scope.allows(Role.ADMIN, Event)
