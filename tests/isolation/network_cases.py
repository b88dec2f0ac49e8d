"""The operations of security groups, floating IPs, server groups and networks of VMs: see `cases.py`."""

from __future__ import annotations

import uuid
from typing import Any

from tenants.models import Membership
from tenants.scoping import Role
from tests.factories import CloudAccountFactory, VirtualMachineFactory, create_catalogue
from tests.network_factories import (
    FloatingIpFactory,
    SecurityGroupFactory,
    ServerGroupFactory,
    create_external_network,
    create_interface,
)

from .case import Case, Ids
from .objects import create_system_with_catalogue

_made: dict[Any, Any] = {}


def create_group(member: Membership) -> Ids:
    return {"id": SecurityGroupFactory(tenant=member.tenant).pk}


def create_group_with_rule(member: Membership) -> Ids:
    group = SecurityGroupFactory(tenant=member.tenant)
    return {"id": group.pk, "rule_pk": group.rules[0]["id"]}


def create_address(member: Membership) -> Ids:
    return {"id": FloatingIpFactory(tenant=member.tenant).pk}


def create_attached_address(member: Membership) -> Ids:
    return {"id": FloatingIpFactory(tenant=member.tenant, port_id=str(uuid.uuid4())).pk}


def create_address_near_vm(member: Membership) -> Ids:
    vm = VirtualMachineFactory(information_system__tenant=member.tenant, status="running")
    address = FloatingIpFactory(tenant=member.tenant, account=vm.account, region=vm.region)
    _made[member.tenant.pk] = vm
    return {"id": address.pk}


def build_attachment(member: Membership) -> dict[str, Any]:
    return {"vm": str(_made[member.tenant.pk].pk)}


def create_server_group(member: Membership) -> Ids:
    return {"id": ServerGroupFactory(information_system__tenant=member.tenant).pk}


def build_group(member: Membership) -> dict[str, Any]:
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    return {"name": "web", "account": account.pk}


def build_address(member: Membership) -> dict[str, Any]:
    account = CloudAccountFactory(tenant=member.tenant)
    create_external_network(account)
    return {"account": account.pk}


def build_server_group(member: Membership) -> dict[str, Any]:
    return {
        "information_system": str(create_system_with_catalogue(member)["id"]),
        "name": "spread",
        "policy": "anti-affinity",
    }


def create_networked_vm(member: Membership) -> Ids:
    """Create a VM with an interface, in an account with a catalogue."""
    account = CloudAccountFactory(tenant=member.tenant)
    create_catalogue(account)
    vm = VirtualMachineFactory(
        information_system__tenant=member.tenant, account=account, status="running", disk_gb=10
    )
    port = create_interface(vm, SecurityGroupFactory(tenant=member.tenant, account=account))
    _made[member.tenant.pk] = account
    return {"id": vm.pk, "port_pk": port.cloud_id}


def create_vm_without_port(member: Membership) -> Ids:
    return {"id": create_networked_vm(member)["id"]}


def build_interface(member: Membership) -> dict[str, Any]:
    network = _made[member.tenant.pk].resources.get(type="network", attributes__is_external=False)
    return {"network": network.cloud_id}


def build_groups_of_vm(member: Membership) -> dict[str, Any]:
    group = SecurityGroupFactory(tenant=member.tenant, account=_made[member.tenant.pk])
    return {"security_groups": [str(group.pk)]}


GROUP = "/api/v1/security-groups/{id}/"
ADDRESS = "/api/v1/floating-ips/{id}/"
VM = "/api/v1/vms/{id}/"

NETWORK_CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/v1/security-groups/"): Case(200),
    ("POST", "/api/v1/security-groups/"): Case(
        202, Role.ADMIN, body=build_group, bad_body={"name": "", "colour": "red"}
    ),
    ("GET", GROUP): Case(200, ids=create_group),
    ("PATCH", GROUP): Case(
        202, Role.ADMIN, ids=create_group, body=lambda member: {"name": "shop"}, bad_body={"name": ""}
    ),
    ("DELETE", GROUP): Case(202, Role.ADMIN, ids=create_group),
    ("POST", f"{GROUP}copy/"): Case(
        202, Role.ADMIN, ids=create_group, body=lambda member: {"name": "copy"}, bad_body={"name": ""}
    ),
    ("POST", f"{GROUP}rules/"): Case(
        202,
        Role.ADMIN,
        ids=create_group,
        body=lambda member: {"direction": "ingress", "protocol": "tcp", "port_min": 443},
        bad_body={"direction": "inward", "port_min": 0},
    ),
    ("DELETE", f"{GROUP}rules/{{rule_pk}}/"): Case(202, Role.ADMIN, ids=create_group_with_rule),
    ("GET", "/api/v1/floating-ips/"): Case(200),
    ("POST", "/api/v1/floating-ips/"): Case(
        202, Role.ADMIN, body=build_address, bad_body={"account": "the first"}
    ),
    ("GET", ADDRESS): Case(200, ids=create_address),
    ("DELETE", ADDRESS): Case(202, Role.ADMIN, ids=create_address),
    ("POST", f"{ADDRESS}attach/"): Case(
        202, Role.OPERATOR, ids=create_address_near_vm, body=build_attachment, bad_body={"vm": "the first"}
    ),
    ("POST", f"{ADDRESS}detach/"): Case(
        202, Role.OPERATOR, ids=create_attached_address, body=lambda member: {}, bad_body={"now": True}
    ),
    ("GET", "/api/v1/server-groups/"): Case(200),
    ("POST", "/api/v1/server-groups/"): Case(
        202, Role.ADMIN, body=build_server_group, bad_body={"name": "", "policy": "together"}
    ),
    ("GET", "/api/v1/server-groups/{id}/"): Case(200, ids=create_server_group),
    ("DELETE", "/api/v1/server-groups/{id}/"): Case(202, Role.ADMIN, ids=create_server_group),
    ("GET", f"{VM}interfaces/"): Case(200, ids=create_vm_without_port),
    ("POST", f"{VM}interfaces/"): Case(
        202, Role.ADMIN, ids=create_vm_without_port, body=build_interface, bad_body={"network": ""}
    ),
    ("DELETE", f"{VM}interfaces/{{port_pk}}/"): Case(202, Role.ADMIN, ids=create_networked_vm),
    ("PUT", f"{VM}security-groups/"): Case(
        202,
        Role.ADMIN,
        ids=create_vm_without_port,
        body=build_groups_of_vm,
        bad_body={"security_groups": "all of them"},
    ),
    ("GET", f"{VM}reachability/"): Case(200, ids=create_vm_without_port),
}
