"""Create and delete server groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.placements import require_placement
from cloudaccounts.services.catalogue import list_granted_policies
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.models import InformationSystem
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row

from ..commands import CreateServerGroupCommand, RemoveServerGroupCommand
from ..models import ServerGroup


@dataclass(frozen=True, slots=True)
class ServerGroupChange:
    """A server group, and the job that creates or deletes it."""

    group: ServerGroup
    job: Job


@operation("networks.create_server_group", CreateServerGroupCommand)
def create_server_group(*, scope: Scope, params: Mapping[str, Any]) -> ServerGroupChange:
    """Record a server group of an information system, and the job that creates it.

    Raises 403 `role_too_low`; 400 `invalid`, by field (also for a policy that was not granted); 409 `limit_reached`.
    """
    scope.require(Role.ADMIN, ServerGroup)
    systems = InformationSystem.objects.within(scope).select_related("tenant")
    system = systems.filter(pk=params["information_system"]).first()
    if system is None:
        message = _("Information system not found: %(id)s.")
        raise InvalidFieldsError({"information_system": [message % {"id": params["information_system"]}]})
    place = require_placement(
        system.tenant,
        params.get("account"),
        params.get("region", ""),
        default_account_id=system.default_account_id,
    )
    policies = list_granted_policies(system.tenant, place.account)
    if params["policy"] not in policies:
        message = _("The policy '%(policy)s' is not offered in this cloud account. Available: %(known)s.")
        values = {"policy": params["policy"], "known": ", ".join(policies) or "-"}
        raise InvalidFieldsError({"policy": [message % values]})
    group = ServerGroup(
        information_system=system,
        account=place.account,
        region=place.region,
        name=params["name"],
        policy=params["policy"],
    )
    with transaction.atomic():
        require_row_limit(system.tenant, "server_groups", ServerGroup.objects.for_tenant(system.tenant))
        group.save(force_insert=True)
        return _submit(scope, group, CreateServerGroupCommand(str(group.pk)))


@operation("networks.remove_server_group", RemoveServerGroupCommand)
def remove_server_group(*, scope: Scope, group_id: UUID) -> ServerGroupChange:
    """Submit the deletion of a server group. Raises `NotFoundError`, 403 `role_too_low`, 409 `busy`."""
    with transaction.atomic():
        groups = ServerGroup.objects.select_related("information_system__tenant", "account")
        group: ServerGroup = lock_row(groups, scope, group_id, Role.ADMIN)
        return _submit(scope, group, RemoveServerGroupCommand(str(group.pk)))


def _submit(
    scope: Scope, group: ServerGroup, command: CreateServerGroupCommand | RemoveServerGroupCommand
) -> ServerGroupChange:
    command.row = group
    tenant = group.information_system.tenant
    return ServerGroupChange(group, engine.submit(command, tenant=tenant, user=scope.user).job)
