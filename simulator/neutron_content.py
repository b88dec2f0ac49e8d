"""What Neutron's objects look like when they are new. Used by the API, the standard content and seeding."""

from __future__ import annotations

import ipaddress

from .clock import zulu
from .state import Region, State, Thing

_IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def common(state: State, project_id: str, wanted: Thing) -> Thing:
    """What all of them have."""
    stamp = zulu(state.clock.now())
    return {
        "id": state.new_id(), "name": wanted.get("name", ""), "description": wanted.get("description", ""),
        "tenant_id": project_id, "project_id": project_id, "tags": [], "revision_number": 1, "created_at": stamp,
        "updated_at": stamp,
    }  # fmt: skip


def new_network(state: State, project_id: str, wanted: Thing) -> Thing:
    """A network without subnets."""
    return {
        **common(state, project_id, wanted), "admin_state_up": wanted.get("admin_state_up", True), "mtu": 1450,
        "status": "ACTIVE", "subnets": [], "shared": bool(wanted.get("shared")), "port_security_enabled": True,
        "router:external": bool(wanted.get("router:external")), "availability_zone_hints": [], "availability_zones": [],
        "ipv4_address_scope": None, "ipv6_address_scope": None,
    }  # fmt: skip


def new_subnet(state: State, project_id: str, network: Thing, net: _IpNetwork, wanted: Thing) -> Thing:
    """A subnet, which its network then names. The first address is the gateway's."""
    new: Thing = {
        **common(state, project_id, wanted), "network_id": network["id"], "ip_version": net.version, "cidr": str(net),
        "subnetpool_id": None, "enable_dhcp": wanted.get("enable_dhcp", True), "ipv6_ra_mode": None,
        "ipv6_address_mode": None, "gateway_ip": wanted.get("gateway_ip", str(net[1])), "host_routes": [],
        "dns_nameservers": [], "service_types": [],
        "allocation_pools": wanted.get("allocation_pools") or [{"start": str(net[2]), "end": str(net[-2])}],
    }  # fmt: skip
    network["subnets"].append(new["id"])
    return new


def new_router(state: State, project_id: str, wanted: Thing) -> Thing:
    """A router without gateway and interfaces."""
    return {
        **common(state, project_id, wanted), "admin_state_up": wanted.get("admin_state_up", True), "status": "ACTIVE",
        "routes": [], "flavor_id": None, "external_gateway_info": None, "availability_zones": [],
        "availability_zone_hints": [],
    }  # fmt: skip


def new_group(state: State, region: Region, project_id: str, wanted: Thing) -> Thing:
    """A security group, which lets everything out from the beginning."""
    group = {
        **common(state, project_id, wanted),
        "security_group_rules": [],
        "stateful": True,
        "shared": False,
    }
    for ethertype in ("IPv4", "IPv6"):
        add_rule(state, region, group, {"direction": "egress", "ethertype": ethertype})
    return group


def new_default_group(state: State, region: Region, project_id: str) -> Thing:
    """The group that every project has. Its members reach each other."""
    wanted = {"name": "default", "description": "Default security group"}
    group = new_group(state, region, project_id, wanted)
    for ethertype in ("IPv4", "IPv6"):
        add_rule(state, region, group, {"ethertype": ethertype, "remote_group_id": group["id"]})
    return group


def add_rule(state: State, region: Region, group: Thing, wanted: Thing) -> Thing:
    """A rule, kept by itself and shown in its group."""
    rule: Thing = {
        **common(state, group["project_id"], wanted), "security_group_id": group["id"],
        "direction": wanted.get("direction", "ingress"), "ethertype": wanted.get("ethertype", "IPv4"),
        "protocol": wanted.get("protocol"), "port_range_min": wanted.get("port_range_min"),
        "port_range_max": wanted.get("port_range_max"), "remote_ip_prefix": wanted.get("remote_ip_prefix"),
        "remote_group_id": wanted.get("remote_group_id"), "remote_address_group_id": None, "normalized_cidr": None,
    }  # fmt: skip
    del rule["name"]
    region.security_group_rules[rule["id"]] = rule
    group["security_group_rules"].append(rule)
    return rule


def new_floating(state: State, project_id: str, network: Thing, address: str, wanted: Thing) -> Thing:
    """A floating IP that leads nowhere."""
    new: Thing = {
        **common(state, project_id, wanted), "floating_ip_address": address, "status": "DOWN",
        "floating_network_id": network["id"], "router_id": None, "port_id": None, "fixed_ip_address": None,
        "port_details": None,
    }  # fmt: skip
    del new["name"]
    return new
