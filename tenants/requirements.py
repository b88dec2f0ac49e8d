"""Check the roles and permissions of a request again before its answer is replayed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api.domain_errors import NotFoundError
from api.requirements import Requirement

from .scoping import Role, Scope, limit_role, require_staff_permission


def recheck_requirements(user: Any, requirements: Iterable[Requirement]) -> None:
    """Require of a user the roles and permissions that an earlier request of theirs required.

    A requirement is `(permission,)` for staff, or `(tenant id, role, permission)`: the role of a member, with the permission
    that staff need in its place. Raises `NotFoundError` or 403, as the first request would.
    """
    memberships = {str(member.tenant_id): member for member in user.active_memberships()}
    for requirement in requirements:
        if len(requirement) == 1:
            require_staff_permission(user, requirement[0])
            continue
        tenant_id, role, permission = requirement
        member = memberships.get(tenant_id)
        if member is not None and limit_role(user, Role(member.role)).covers(Role(role)):
            continue
        if user.is_staff:
            require_staff_permission(user, permission)
        elif member is None:
            raise NotFoundError
        else:
            Scope(user, member.tenant, limit_role(user, Role(member.role))).require(Role(role))
