"""A router, security groups and floating IPs, for the demo: what an administrator and a tenant have set up before."""

from __future__ import annotations

from .http_messages import bad_request
from .neutron_resources import (
    add_rule,
    build_association,
    build_floating_ip,
    build_router,
    build_security_group,
)
from .neutron_routers import GATEWAY, INTERFACE, find_gateway_router
from .ports import NoFreeAddressError, allocate_address, create_port, ensure_default_group
from .state import Region, Resource, State
from .transitions import refresh_addresses

ROUTER_NAME = "router1"
# Names, descriptions and rules of the groups.
_GROUPS: tuple[tuple[str, str, tuple[Resource, ...]], ...] = (
    (
        "web",
        "HTTP and HTTPS from anywhere",
        (
            {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80},
            {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443},
            {"protocol": "tcp", "port_range_min": 443, "port_range_max": 443, "ethertype": "IPv6"},
        ),
    ),
    (
        "ssh-office",
        "SSH and ping from the office",
        (
            {
                "protocol": "tcp",
                "port_range_min": 22,
                "port_range_max": 22,
                "remote_ip_prefix": "198.51.100.0/24",
            },
            {"protocol": "icmp", "remote_ip_prefix": "198.51.100.0/24"},
        ),
    ),
)
_FLOATING_IPS = 3


def make_reachable(state: State, region: Region, project_id: str) -> None:
    """Connect the internal network to the external one, and create groups and floating IPs; what is there already stays.

    One floating IP is on the project's oldest server, if it has one. Raises `HttpError` when there is no such network.
    """
    external, internal = (_find_network(region, is_external=kind) for kind in (True, False))
    _connect(state, region, project_id, external, internal)
    ensure_default_group(state, region, project_id)
    names = {group["name"] for group in region.security_groups.values() if group["project_id"] == project_id}
    for name, description, rules in _GROUPS:
        if name not in names:
            group = build_security_group(
                state, region, project_id, {"name": name, "description": description}
            )
            region.security_groups[group["id"]] = group
            for rule in rules:
                add_rule(state, region, group, {"direction": "ingress", **rule})
    have = sum(one["project_id"] == project_id for one in region.floatingips.values())
    for _ in range(have, _FLOATING_IPS):
        try:
            address = allocate_address(region, region.subnets[external["subnets"][0]])
        except NoFreeAddressError:
            raise bad_request("the external network has no address left") from None
        new = build_floating_ip(state, project_id, external, address, {})
        region.floatingips[new["id"]] = new
    if not have:
        _attach_one(region, project_id, external)


def _connect(state: State, region: Region, project_id: str, external: Resource, internal: Resource) -> None:
    subnet = region.subnets[internal["subnets"][0]]
    if find_gateway_router(region, subnet["id"], external["id"]) is not None:
        return
    router = build_router(state, project_id, {"name": ROUTER_NAME})
    gateway = create_port(state, region, external, "", device_id=router["id"], owner=GATEWAY)
    router["external_gateway_info"] = {
        "network_id": external["id"],
        "external_fixed_ips": gateway["fixed_ips"],
        "enable_snat": True,
    }
    region.routers[router["id"]] = router
    fixed = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    create_port(state, region, internal, project_id, device_id=router["id"], owner=INTERFACE, fixed=[fixed])


def _attach_one(region: Region, project_id: str, external: Resource) -> None:
    """Associate a floating IP with the project's oldest server, if it has one that the router reaches."""
    servers = [one for one in region.servers.values() if one.project_id == project_id and one.port_ids]
    mine = (one for one in region.floatingips.values() if one["project_id"] == project_id)
    floating = next((one for one in mine if not one["port_id"]), None)
    if not servers or floating is None:
        return
    server = min(servers, key=lambda one: one.created)
    port = region.ports[server.port_ids[0]]
    fixed = port["fixed_ips"][0]
    router = find_gateway_router(region, fixed["subnet_id"], external["id"])
    if router is not None:
        floating.update(**build_association(port, fixed, router), status="ACTIVE", description="of the demo")
        refresh_addresses(region, server)


def _find_network(region: Region, *, is_external: bool) -> Resource:
    for network in region.networks.values():
        if network["router:external"] == is_external and network["subnets"]:
            return network
    raise bad_request("there is no network with a subnet to connect")
