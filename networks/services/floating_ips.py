"""Take floating IPs, and give them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Placement, require_placement
from cloudaccounts.services.catalogue import list_granted
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.models import Tenant
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row, require_tenant

from ..commands import ReleaseFloatingIpCommand, TakeFloatingIpCommand
from ..models import FloatingIp


@dataclass(frozen=True, slots=True)
class FloatingIpChange:
    """A floating IP, and the job that changes it; None when there is nothing to change."""

    floating_ip: FloatingIp
    job: Job | None


def list_external_networks(tenant: Tenant, place: Placement) -> list[CloudResource]:
    """Return the external networks from which a tenant may take floating IPs."""
    granted = list_granted(tenant, place.account, region=place.region)
    return list(granted.filter(type="network", attributes__is_external=True).order_by("name", "cloud_id"))


def choose_external_network(tenant: Tenant, place: Placement, wanted: str, field: str) -> CloudResource:
    """Return the external network that was named, or the only one. Raises 400 `invalid` at `field`."""
    networks = {network.cloud_id: network for network in list_external_networks(tenant, place)}
    known = ", ".join(f"{network.name} ({network.cloud_id})" for network in networks.values()) or "-"
    if wanted and wanted not in networks:
        message = _("External network '%(id)s' not found. Available: %(known)s.")
        raise InvalidFieldsError({field: [message % {"id": wanted, "known": known}]})
    if wanted:
        return networks[wanted]
    if len(networks) == 1:
        return next(iter(networks.values()))
    if networks:
        message = _("Select an external network. Available: %(known)s.")
        raise InvalidFieldsError({field: [message % {"known": known}]})
    message = _("The cloud account has no external network that this tenant may use.")
    raise InvalidFieldsError({field: [message]})


def build_floating_ip(tenant: Tenant, place: Placement, network: CloudResource) -> FloatingIp:
    """Build the row of a floating IP that is to be taken, unsaved."""
    return FloatingIp(
        tenant=tenant,
        account=place.account,
        region=place.region,
        network_id=network.cloud_id,
        network_name=network.name,
        unattached_since=timezone.now(),
    )


@operation("networks.take_floating_ip", TakeFloatingIpCommand)
def take_floating_ip(*, scope: Scope, params: Mapping[str, Any]) -> FloatingIpChange:
    """Record a floating IP to be taken, and the job that takes it.

    Raises 403 `role_too_low`; 400 `tenant_required`, `invalid`, by field; 409 `limit_reached`.
    """
    scope.require(Role.ADMIN, FloatingIp)
    tenant = require_tenant(scope)
    place = require_placement(tenant, params.get("account"), params.get("region", ""))
    network = choose_external_network(tenant, place, params.get("network", ""), "network")
    floating_ip = build_floating_ip(tenant, place, network)
    floating_ip.description = params.get("description", "")
    with transaction.atomic():
        require_floating_ip_limit(tenant)
        floating_ip.save(force_insert=True)
        command = TakeFloatingIpCommand(str(floating_ip.pk))
        command.row = floating_ip
        return FloatingIpChange(floating_ip, engine.submit(command, tenant=tenant, user=scope.user).job)


def require_floating_ip_limit(tenant: Tenant, adding: int = 1) -> None:
    """Refuse floating IPs beyond the tenant's limit: 409 `limit_reached`."""
    require_row_limit(tenant, "floating_ips", FloatingIp.objects.for_tenant(tenant), adding)


def lock_floating_ip(scope: Scope, pk: UUID, needed: Role) -> FloatingIp:
    """Lock a floating IP of the scope in the caller's transaction. Raises `NotFoundError`, then 403."""
    floating_ip: FloatingIp = lock_row(
        FloatingIp.objects.select_related("tenant", "account", "vm"), scope, pk, needed
    )
    return floating_ip


@operation("networks.release_floating_ip", ReleaseFloatingIpCommand)
def release_floating_ip(*, scope: Scope, floating_ip_id: UUID) -> FloatingIpChange:
    """Submit the return of a floating IP. Raises `NotFoundError`, 403 `role_too_low`, 409 `busy`, `attached`."""
    with transaction.atomic():
        floating_ip = lock_floating_ip(scope, floating_ip_id, Role.ADMIN)
        if floating_ip.is_attached:
            message = _("The floating IP %(address)s is attached. Detach it first.")
            raise ConflictError("attached", message % {"address": floating_ip})
        command = ReleaseFloatingIpCommand(str(floating_ip.pk))
        command.row = floating_ip
        job = engine.submit(command, tenant=floating_ip.tenant, user=scope.user).job
        return FloatingIpChange(floating_ip, job)
