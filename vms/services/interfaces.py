"""Attach interfaces to VMs, detach them, set security groups, and list what a VM has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from cloudaccounts.models import CloudResource, ResourceLink
from cloudaccounts.placements import Placement
from networks.addresses import read_fixed_address
from networks.models import FloatingIp, SecurityGroup
from networks.models.security_groups import DEFAULT_NAME
from networks.services import find_groups_by_cloud_id, find_usable_groups
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.models import Tenant
from tenants.scoping import Role, Scope

from ..catalogue import Catalogue
from ..commands.interfaces import (
    AttachInterfaceCommand,
    DetachInterfaceCommand,
    NetworkCommand,
    SetSecurityGroupsCommand,
)
from ..models import VirtualMachine, VmPort
from .locked_vms import lock_vm, update_locked_vm

# Nova allows more in principle; nobody needs them, and each is a request to the cloud.
MAX_INTERFACES = 8


@dataclass(frozen=True, slots=True)
class NetworkChange:
    """A VM, and the job that changes its networks."""

    vm: VirtualMachine
    job: Job


@dataclass(frozen=True, slots=True)
class GroupOnPort:
    """A security group of a port; `row` is None for a group that does not belong to the VM's tenant."""

    cloud_id: str
    name: str
    row: SecurityGroup | None
    rules: Sequence[dict[str, Any]] = ()


@dataclass(slots=True)
class Interface:
    """A port of a VM as the last sync, or the last job, has seen it."""

    port_id: str
    network_id: str
    network_name: str
    fixed_ips: list[str]
    mac_address: str
    status: str
    is_port_security_enabled: bool
    security_groups: list[GroupOnPort] = field(default_factory=list)
    floating_ips: list[FloatingIp] = field(default_factory=list)
    # Floating IPs that the cloud reports on the interface and that do not belong to the tenant.
    other_addresses: list[str] = field(default_factory=list)


def list_interfaces(vm: VirtualMachine) -> list[Interface]:
    """Return the interfaces of a VM, with their groups and floating IPs: a fixed number of statements."""
    if vm.openstack_id is None:
        return []
    resources = CloudResource.objects.present().filter(account=vm.account_id, region=vm.region)
    ports = list(
        resources.filter(type="port", links__target_type="server", links__target_cloud_id=vm.openstack_id)
        .prefetch_related("links")
        .order_by("first_seen_at", "cloud_id")
    )
    targets = {
        port.pk: [(link.target_type, link.target_cloud_id) for link in port.links.all()] for port in ports
    }
    ids = {target for found in targets.values() for target in found}
    named = {
        (found.type, found.cloud_id): found
        for found in resources.filter(
            type__in=["network", "security_group"], cloud_id__in=[cloud_id for _type, cloud_id in ids]
        )
    }
    groups = find_groups_by_cloud_id(
        vm.information_system.tenant,
        Placement(vm.account, vm.region),
        [cloud_id for kind, cloud_id in ids if kind == "security_group"],
    )
    reported = [address.get("ip") for address in vm.addresses if address.get("kind") == "floating"]
    own = list(
        FloatingIp.objects.for_tenant(vm.information_system.tenant)
        .filter(account=vm.account_id, region=vm.region)
        .filter(Q(port_id__in=[port.cloud_id for port in ports]) | Q(address__in=reported))
    )
    addresses: dict[str, list[FloatingIp]] = {}
    for floating_ip in own:
        addresses.setdefault(floating_ip.port_id, []).append(floating_ip)
    # Also those that were detached: the server reports them until the next status sync.
    known = {floating_ip.address for floating_ip in own}
    interfaces = []
    for port in ports:
        network_id = next((target for kind, target in targets[port.pk] if kind == "network"), "")
        network = named.get(("network", network_id))
        on_port = [
            _describe_group(cloud_id, groups.get(cloud_id), named.get(("security_group", cloud_id)))
            for kind, cloud_id in targets[port.pk]
            if kind == "security_group"
        ]
        interfaces.append(
            Interface(
                port.cloud_id,
                network_id,
                network.name if network else "",
                list(port.attributes.get("fixed_ips") or []),
                str(port.attributes.get("mac_address") or ""),
                port.status,
                bool(port.attributes.get("is_port_security_enabled", True)),
                sorted(on_port, key=lambda group: group.name),
                addresses.get(port.cloud_id, []),
                _list_other_addresses(vm, port, known),
            )
        )
    return interfaces


def _list_other_addresses(
    vm: VirtualMachine, port: CloudResource, known: Collection[str | None]
) -> list[str]:
    mac = port.attributes.get("mac_address")
    return [
        str(address.get("ip"))
        for address in vm.addresses
        if address.get("kind") == "floating" and address.get("mac") == mac and address.get("ip") not in known
    ]


def find_tenant_groups(vms: Sequence[VirtualMachine]) -> dict[UUID, set[str]]:
    """Return the names of the security groups of its tenant that each VM has, as the last sync has seen it: three statements.

    VMs without such a group are left out.
    """
    by_server = {(vm.account_id, vm.region, str(vm.openstack_id)): vm for vm in vms if vm.openstack_id}
    accounts, regions = {vm.account_id for vm in vms}, {vm.region for vm in vms}
    on_servers = ResourceLink.objects.filter(
        account__in=accounts,
        region__in=regions,
        target_type="server",
        target_cloud_id__in=[vm.openstack_id for vm in by_server.values()],
        source__type="port",
        source__expired_at=None,
    )
    vm_of_port = {
        port: by_server[account_id, region, server_id]
        for port, account_id, region, server_id in on_servers.values_list(
            "source", "account_id", "region", "target_cloud_id"
        )
        if (account_id, region, server_id) in by_server
    }
    on_ports = ResourceLink.objects.filter(source__in=vm_of_port, target_type="security_group")
    pairs = [
        (vm_of_port[port], cloud_id) for port, cloud_id in on_ports.values_list("source", "target_cloud_id")
    ]
    rows = SecurityGroup.objects.filter(
        account__in=accounts, region__in=regions, cloud_id__in={cloud_id for _vm, cloud_id in pairs}
    )
    names = {(row.tenant_id, row.account_id, row.region, row.cloud_id): row.name for row in rows}
    found: dict[UUID, set[str]] = {}
    for vm, cloud_id in pairs:
        key = (vm.information_system.tenant_id, vm.account_id, vm.region, cloud_id)
        if key in names:
            found.setdefault(vm.pk, set()).add(names[key])
    return found


def _describe_group(cloud_id: str, row: SecurityGroup | None, resource: CloudResource | None) -> GroupOnPort:
    """Return a group of a port. The name of another owner's group is not told, except that of the project's group "default"."""
    if row is not None:
        return GroupOnPort(cloud_id, row.name, row, row.rules)
    rules = (resource.attributes.get("rule_list") or []) if resource is not None else []
    is_default = resource is not None and resource.name == DEFAULT_NAME
    return GroupOnPort(cloud_id, DEFAULT_NAME if is_default else "", None, rules)


@operation("vms.attach_interface", AttachInterfaceCommand)
def attach_interface(
    *,
    scope: Scope,
    vm_id: UUID,
    network: str,
    fixed_ip: str = "",
    security_groups: Sequence[UUID] | None = None,
) -> NetworkChange:
    """Submit a further interface of a VM on a network that its tenant may use.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 400 `invalid`, by field; 409 `busy`, `not_bound`, `wrong_state`,
    `limit_reached`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        tenant, place = vm.information_system.tenant, Placement(vm.account, vm.region)
        problems: list[str | Promise] = []
        found = Catalogue(place, vm.information_system).find_network(network, problems)
        if found is None:
            raise InvalidFieldsError({"network": problems})
        if fixed_ip:
            fixed_ip = read_fixed_address(found, fixed_ip, problems)
        if problems:
            raise InvalidFieldsError({"fixed_ip": problems})
        group_ids = None
        if security_groups is not None:
            group_ids = require_groups(tenant, place, security_groups)
        if len(list_interfaces(vm)) >= MAX_INTERFACES:
            message = _("A VM has at most %(most)s interfaces. Detach one first.")
            raise ConflictError("limit_reached", message % {"most": MAX_INTERFACES})
        port = VmPort(account=vm.account, region=vm.region, vm=vm, network_id=network)
        command = AttachInterfaceCommand(str(vm.pk), str(port.pk), network, fixed_ip, group_ids)
        command.vm = vm
        port.save(force_insert=True)
        return _submit(scope, vm, command)


@operation("vms.detach_interface", DetachInterfaceCommand)
def detach_interface(*, scope: Scope, vm_id: UUID, port_id: UUID) -> NetworkChange:
    """Submit the detachment of an interface. Raises `NotFoundError` for the VM or the port, 403, 409 `busy`, `wrong_state`."""
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        if str(port_id) not in {interface.port_id for interface in list_interfaces(vm)}:
            raise NotFoundError
        return _submit(scope, vm, DetachInterfaceCommand(str(vm.pk), str(port_id)))


@operation("vms.set_security_groups", SetSecurityGroupsCommand)
def set_security_groups(
    *, scope: Scope, vm_id: UUID, security_groups: Sequence[UUID], port: UUID | None = None
) -> NetworkChange:
    """Submit the security groups that a VM, or one of its interfaces, is to have in place of the present ones.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 400 `invalid`, by field; 409 `busy`, `not_bound`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        place = Placement(vm.account, vm.region)
        group_ids = require_groups(vm.information_system.tenant, place, security_groups)
        if port is not None and str(port) not in {found.port_id for found in list_interfaces(vm)}:
            raise InvalidFieldsError({"port": [_("The VM has no interface %(id)s.") % {"id": port}]})
        return _submit(scope, vm, SetSecurityGroupsCommand(str(vm.pk), group_ids, str(port or "")))


def require_groups(
    tenant: Tenant, place: Placement, ids: Sequence[UUID], name: str = "security_groups"
) -> list[str]:
    """Return the ids in the cloud of a tenant's security groups. Raises 400 `invalid` for one that VMs of the place cannot have."""
    wanted = list(dict.fromkeys(ids))
    found = find_usable_groups(tenant, place, wanted)
    if missing := [str(pk) for pk in wanted if pk not in found]:
        message = _("Security group not found in this cloud account and region: %(id)s.")
        raise InvalidFieldsError({name: [message % {"id": ", ".join(missing)}]})
    return [str(found[pk].cloud_id) for pk in wanted]


def _submit(scope: Scope, vm: VirtualMachine, command: NetworkCommand) -> NetworkChange:
    command.vm = vm
    submitted = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user)
    if not submitted.joined:
        update_locked_vm(vm)
    return NetworkChange(vm, submitted.job)
