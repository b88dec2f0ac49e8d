"""Builders of new Neutron resources, for the API, the standard content and seeding."""

from __future__ import annotations

import ipaddress

from .clock import format_zulu
from .state import Region, Resource, State

_IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def build_common_fields(state: State, project_id: str, requested: Resource) -> Resource:
    """Return the fields that all kinds have."""
    stamp = format_zulu(state.clock.now())
    return {
        "id": state.new_id(), "name": requested.get("name", ""), "description": requested.get("description", ""),
        "tenant_id": project_id, "project_id": project_id, "tags": [], "revision_number": 1, "created_at": stamp,
        "updated_at": stamp,
    }  # fmt: skip


def build_network(state: State, project_id: str, requested: Resource) -> Resource:
    """Return a network without subnets."""
    return {
        **build_common_fields(state, project_id, requested), "admin_state_up": requested.get("admin_state_up", True), "mtu": 1450,
        "status": "ACTIVE", "subnets": [], "shared": bool(requested.get("shared")),
        "port_security_enabled": bool(requested.get("port_security_enabled", True)),
        "router:external": bool(requested.get("router:external")), "availability_zone_hints": [], "availability_zones": [],
        "ipv4_address_scope": None, "ipv6_address_scope": None,
    }  # fmt: skip


def build_subnet(
    state: State, project_id: str, network: Resource, net: _IpNetwork, requested: Resource
) -> Resource:
    """Return a subnet, and list it in its network. The range's first address is the gateway's."""
    new: Resource = {
        **build_common_fields(state, project_id, requested), "network_id": network["id"], "ip_version": net.version, "cidr": str(net),
        "subnetpool_id": None, "enable_dhcp": requested.get("enable_dhcp", True), "ipv6_ra_mode": None,
        "ipv6_address_mode": None, "gateway_ip": requested.get("gateway_ip", str(net[1])), "host_routes": [],
        "dns_nameservers": [], "service_types": [],
        "allocation_pools": requested.get("allocation_pools") or [{"start": str(net[2]), "end": str(net[-2])}],
    }  # fmt: skip
    network["subnets"].append(new["id"])
    return new


def build_router(state: State, project_id: str, requested: Resource) -> Resource:
    """Return a router without gateway and interfaces."""
    return {
        **build_common_fields(state, project_id, requested), "admin_state_up": requested.get("admin_state_up", True), "status": "ACTIVE",
        "routes": [], "flavor_id": None, "external_gateway_info": None, "availability_zones": [],
        "availability_zone_hints": [],
    }  # fmt: skip


def build_security_group(state: State, region: Region, project_id: str, requested: Resource) -> Resource:
    """Return a security group that allows all egress traffic."""
    group = {
        **build_common_fields(state, project_id, requested),
        "security_group_rules": [],
        "stateful": True,
        "shared": False,
    }
    for ethertype in ("IPv4", "IPv6"):
        add_rule(state, region, group, {"direction": "egress", "ethertype": ethertype})
    return group


def build_default_group(state: State, region: Region, project_id: str) -> Resource:
    """Return the project's group "default", whose members reach each other."""
    requested = {"name": "default", "description": "Default security group"}
    group = build_security_group(state, region, project_id, requested)
    for ethertype in ("IPv4", "IPv6"):
        add_rule(state, region, group, {"ethertype": ethertype, "remote_group_id": group["id"]})
    return group


def add_rule(state: State, region: Region, group: Resource, requested: Resource) -> Resource:
    """Create a rule, store it, and list it in its group."""
    rule: Resource = {
        **build_common_fields(state, group["project_id"], requested), "security_group_id": group["id"],
        "direction": requested.get("direction", "ingress"), "ethertype": requested.get("ethertype", "IPv4"),
        "protocol": requested.get("protocol"), "port_range_min": requested.get("port_range_min"),
        "port_range_max": requested.get("port_range_max"), "remote_ip_prefix": requested.get("remote_ip_prefix"),
        "remote_group_id": requested.get("remote_group_id"), "remote_address_group_id": None,
        "normalized_cidr": _normalize_cidr(requested.get("remote_ip_prefix")),
    }  # fmt: skip
    del rule["name"]
    group["revision_number"] += 1
    region.security_group_rules[rule["id"]] = rule
    group["security_group_rules"].append(rule)
    return rule


def _normalize_cidr(prefix: str | None) -> str | None:
    return None if prefix is None else str(ipaddress.ip_network(prefix, strict=False))


def build_floating_ip(
    state: State, project_id: str, network: Resource, address: str, requested: Resource
) -> Resource:
    """Return a floating IP without a port."""
    new: Resource = {
        **build_common_fields(state, project_id, requested), "revision_number": 0, "floating_ip_address": address, "status": "DOWN",
        "floating_network_id": network["id"], "router_id": None, "port_id": None, "fixed_ip_address": None,
        "port_details": None,
    }  # fmt: skip
    del new["name"]
    return new


def build_association(port: Resource, fixed: Resource, router: Resource) -> Resource:
    """Return the fields of a floating IP that is associated with a fixed address of a port."""
    names = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")
    return {
        "port_id": port["id"],
        "fixed_ip_address": fixed["ip_address"],
        "router_id": router["id"],
        "port_details": {name: port[name] for name in names},
    }
