"""Lock the security groups of a use case."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role, Scope, lock_row

from ..models import RowStatus, SecurityGroup


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A security group, the job that changes it (None when there is nothing to change), and warnings about what is allowed."""

    group: SecurityGroup
    job: Job | None
    warnings: list[str] = field(default_factory=list)


def lock_group(scope: Scope, group_id: UUID, needed: Role, *, may_be_gone: bool = False) -> SecurityGroup:
    """Lock a group of the scope in the caller's transaction. Raises `NotFoundError`, then 403, then 409 `gone`."""
    groups = SecurityGroup.objects.select_related("tenant", "account")
    group: SecurityGroup = lock_row(groups, scope, group_id, needed)
    if group.status == RowStatus.GONE and not may_be_gone:
        raise ConflictError("gone", _("The cloud no longer has this security group. Delete it here."))
    return group


def submit_for_group(scope: Scope, group: SecurityGroup, command: Any) -> GroupChange:
    """Submit a command on a locked group."""
    command.row = group
    return GroupChange(group, engine.submit(command, tenant=group.tenant, user=scope.user).job)
