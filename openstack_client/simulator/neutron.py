"""Neutron: networks, subnets, ports, routers, security groups and floating IPs."""

from __future__ import annotations

import ipaddress
from typing import Any

from .addresses import NoAddressLeft, remove_port, take_address
from .clock import zulu
from .exchange import Answer, Call, Refused
from .listing import paged
from .moves import port_on, settle_servers, show_addresses
from .routes import Routes
from .state import Thing

# plural in the path -> (singular, attribute of the region, name in messages)
_KINDS = {
    "networks": ("network", "networks", "Network"),
    "subnets": ("subnet", "subnets", "Subnet"),
    "ports": ("port", "ports", "Port"),
    "routers": ("router", "routers", "Router"),
    "security-groups": ("security_group", "security_groups", "SecurityGroup"),
    "security-group-rules": ("security_group_rule", "security_group_rules", "SecurityGroupRule"),
    "floatingips": ("floatingip", "floatingips", "FloatingIP"),
}
_NOT_FILTERS = {"limit", "marker", "fields", "sort_key", "sort_dir", "page_reverse"}


def versions(base: str) -> Thing:
    """What a client asks first."""
    return {
        "versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/v2.0/"}]}]
    }


def refused(status: int, kind: str, message: str) -> Refused:
    """A refusal in Neutron's form."""
    return Refused(Answer(status, {"NeutronError": {"type": kind, "message": message, "detail": ""}}))


def _kind(call: Call, plural: str) -> tuple[dict[str, Thing], str, str]:
    if plural not in _KINDS:
        raise Refused(
            Answer(404, b"404 Not Found\n\nThe resource could not be found.", content_type="text/plain")
        )
    singular, attribute, name = _KINDS[plural]
    return getattr(call.region, attribute), singular, name


def _sees(call: Call, thing: Thing) -> bool:
    return (
        call.token.is_admin
        or thing.get("project_id") == call.token.project_id
        or thing.get("shared") is True
        or thing.get("router:external") is True
        or (
            "network_id" in thing
            and "cidr" in thing
            and call.region.networks.get(thing["network_id"], {}).get("shared") is True
        )
    )


def list_things(call: Call, plural: str) -> Answer:
    """Sorted by id, as Neutron does for paging. Filters are exact; a repeated one is "any of"."""
    things, _, _ = _kind(call, plural)
    if plural == "ports":
        settle_servers(call.state, call.region, call.now)
    wanted: dict[str, set[str]] = {}
    for name, value in call.query():
        if name not in _NOT_FILTERS:
            wanted.setdefault(name, set()).add(value)
    if len(call.request.query_text) > 8000:
        raise Refused(Answer(414, b"Request-URI Too Long", content_type="text/plain"))
    found = [t for t in things.values() if _sees(call, t) and all(_fits(t, n, v) for n, v in wanted.items())]
    found.sort(key=lambda thing: str(thing["id"]))
    return paged(call, plural.replace("-", "_"), found, path=plural)


def _fits(thing: Thing, name: str, values: set[str]) -> bool:
    value = thing.get(name)
    if isinstance(value, bool):
        return str(value).lower() in {v.lower() for v in values}
    return str(value) in values


def show_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """One of them."""
    _, singular, _ = _kind(call, plural)
    return Answer(200, {singular: _find(call, plural, thing_id)})


def _find(call: Call, plural: str, thing_id: str) -> Thing:
    things, _, name = _kind(call, plural)
    found = things.get(thing_id)
    if found is None or not _sees(call, found):
        raise refused(404, f"{name}NotFound", f"{name} {thing_id} could not be found.")
    return found


def create_thing(call: Call, plural: str) -> Answer:
    """One more."""
    things, singular, _ = _kind(call, plural)
    wanted = call.request.json().get(singular)
    if not isinstance(wanted, dict):
        raise refused(400, "HTTPBadRequest", f"Resource body required: {singular}")
    limit = call.state.quota(call.region, call.token.project_id or "", singular)
    used = sum(t.get("project_id") == call.token.project_id for t in things.values())
    if 0 <= limit <= used:
        raise refused(409, "OverQuota", f"Quota exceeded for resources: ['{singular}'].")
    new = _NEW[plural](call, wanted)
    things[new["id"]] = new
    call.state.dirty = True
    call.did(f"create_{singular}", new["id"])
    return Answer(201, {singular: new})


def _common(call: Call, wanted: Thing) -> Thing:
    stamp, project_id = zulu(call.now), call.token.project_id
    return {
        "id": call.state.new_id(), "name": wanted.get("name", ""), "description": wanted.get("description", ""),
        "tenant_id": project_id, "project_id": project_id, "tags": [], "revision_number": 1, "created_at": stamp,
        "updated_at": stamp,
    }  # fmt: skip


def _new_network(call: Call, wanted: Thing) -> Thing:
    return {
        **_common(call, wanted), "admin_state_up": wanted.get("admin_state_up", True), "mtu": 1450, "status": "ACTIVE",
        "subnets": [], "shared": bool(wanted.get("shared")), "router:external": bool(wanted.get("router:external")),
        "availability_zone_hints": [], "availability_zones": [], "port_security_enabled": True,
    }  # fmt: skip


def _new_subnet(call: Call, wanted: Thing) -> Thing:
    network = _find(call, "networks", str(wanted.get("network_id")))
    try:
        net = ipaddress.ip_network(str(wanted.get("cidr")))
    except ValueError:
        raise refused(
            400, "HTTPBadRequest", f"Invalid input for cidr. Reason: '{wanted.get('cidr')}'."
        ) from None
    new: Thing = {
        **_common(call, wanted), "network_id": network["id"], "ip_version": net.version, "cidr": str(net),
        "subnetpool_id": None, "enable_dhcp": wanted.get("enable_dhcp", True), "ipv6_ra_mode": None,
        "ipv6_address_mode": None, "gateway_ip": wanted.get("gateway_ip", str(net[1])), "host_routes": [], "dns_nameservers": [],
        "service_types": [],
        "allocation_pools": wanted.get("allocation_pools") or [{"start": str(net[2]), "end": str(net[-2])}],
    }  # fmt: skip
    network["subnets"].append(new["id"])
    return new


def _new_port(call: Call, wanted: Thing) -> Thing:
    network = _find(call, "networks", str(wanted.get("network_id")))
    try:
        port = port_on(call.state, call.region, network, call.token.project_id or "")
    except NoAddressLeft:
        raise refused(
            409, "IpAddressGenerationFailure", f"No more IP addresses available on network {network['id']}."
        ) from None
    port["name"] = wanted.get("name", "")
    return port


def _new_router(call: Call, wanted: Thing) -> Thing:
    return {
        **_common(call, wanted), "admin_state_up": True, "status": "ACTIVE", "routes": [], "flavor_id": None,
        "external_gateway_info": wanted.get("external_gateway_info"), "availability_zones": [],
    }  # fmt: skip


def _new_group(call: Call, wanted: Thing) -> Thing:
    return {**_common(call, wanted), "security_group_rules": [], "stateful": True, "shared": False}


def _new_rule(call: Call, wanted: Thing) -> Thing:
    group = _find(call, "security-groups", str(wanted.get("security_group_id")))
    new: Thing = {
        **_common(call, wanted), "security_group_id": group["id"], "direction": wanted.get("direction", "ingress"),
        "ethertype": wanted.get("ethertype", "IPv4"), "protocol": wanted.get("protocol"),
        "port_range_min": wanted.get("port_range_min"), "port_range_max": wanted.get("port_range_max"),
        "remote_ip_prefix": wanted.get("remote_ip_prefix"), "remote_group_id": wanted.get("remote_group_id"),
    }  # fmt: skip
    group["security_group_rules"].append(new)
    return new


def _new_floating(call: Call, wanted: Thing) -> Thing:
    network = _find(call, "networks", str(wanted.get("floating_network_id")))
    subnet = call.region.subnets[network["subnets"][0]]
    new: Thing = {
        **_common(call, wanted), "floating_ip_address": take_address(call.region, subnet), "status": "DOWN",
        "floating_network_id": network["id"], "router_id": None, "port_id": None, "fixed_ip_address": None,
    }  # fmt: skip
    if wanted.get("port_id"):
        call.region.floatingips[new["id"]] = new
        _associate(call, new, wanted["port_id"])
    return new


def _associate(call: Call, floating: Thing, port_id: str | None) -> None:
    before = floating["port_id"]
    if port_id is None:
        floating.update({"port_id": None, "fixed_ip_address": None, "status": "DOWN"})
    else:
        port = _find(call, "ports", port_id)
        address = port["fixed_ips"][0]["ip_address"] if port["fixed_ips"] else None
        floating.update({"port_id": port_id, "fixed_ip_address": address, "status": "ACTIVE"})
    for touched in {before, port_id} - {None}:
        device = call.region.ports.get(touched or "", {}).get("device_id")
        server = call.region.servers.get(device or "")
        if server is not None and server.launched is not None:
            show_addresses(call.region, server)
            server.updated = call.now


_NEW: dict[str, Any] = {
    "networks": _new_network,
    "subnets": _new_subnet,
    "ports": _new_port,
    "routers": _new_router,
    "security-groups": _new_group,
    "security-group-rules": _new_rule,
    "floatingips": _new_floating,
}


def update_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """Change what may be changed; for a floating IP also its port."""
    _, singular, _ = _kind(call, plural)
    found = _find(call, plural, thing_id)
    wanted = call.request.json().get(singular) or {}
    if plural == "floatingips" and "port_id" in wanted:
        _associate(call, found, wanted["port_id"])
    for name in (
        "name",
        "description",
        "admin_state_up",
        "external_gateway_info",
        "security_groups",
        "routes",
    ):
        if name in wanted:
            found[name] = wanted[name]
    found["updated_at"] = zulu(call.now)
    call.state.dirty = True
    return Answer(200, {singular: found})


def delete_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """Remove what is not in use."""
    things, singular, name = _kind(call, plural)
    found = _find(call, plural, thing_id)
    if plural == "networks" and any(p["network_id"] == thing_id for p in call.region.ports.values()):
        raise refused(409, "NetworkInUse", f"Unable to complete operation on network {thing_id}. There are one or more "
                      "ports still in use on the network.")  # fmt: skip
    if found.get("project_id") != call.token.project_id and not call.token.is_admin:
        raise refused(404, f"{name}NotFound", f"{name} {thing_id} could not be found.")
    if plural == "floatingips":
        _associate(call, found, None)
    if plural in {"networks", "subnets"}:
        _check_subnets(call, plural, thing_id)
    if plural == "ports":
        remove_port(call.region, thing_id)
    else:
        del things[thing_id]
    call.state.dirty = True
    call.did(f"delete_{singular}", thing_id)
    return Answer(204)


def _check_subnets(call: Call, plural: str, thing_id: str) -> None:
    """A network takes its subnets along; a subnet with addresses in use stays."""
    region = call.region
    if plural == "networks":
        for subnet_id in region.networks[thing_id]["subnets"]:
            region.subnets.pop(subnet_id, None)
        return
    if any(fixed["subnet_id"] == thing_id for port in region.ports.values() for fixed in port["fixed_ips"]):
        raise refused(409, "SubnetInUse", f"Unable to complete operation on subnet {thing_id}: One or more ports have "
                      "an IP allocation from this subnet.")  # fmt: skip
    network = region.networks[region.subnets[thing_id]["network_id"]]
    network["subnets"] = [subnet_id for subnet_id in network["subnets"] if subnet_id != thing_id]


def router_interface(call: Call, router_id: str, verb: str) -> Answer:
    """Join a subnet to a router, or part them."""
    router = _find(call, "routers", router_id)
    subnet = _find(call, "subnets", str(call.request.json().get("subnet_id")))
    return Answer(200, {"id": router["id"], "subnet_id": subnet["id"], "port_id": call.state.new_id()})


def extensions(call: Call) -> Answer:
    """Those that clients ask for."""
    names = ("router", "security-group", "external-net", "quotas", "net-mtu", "standard-attr-tag")
    return Answer(
        200, {"extensions": [{"alias": n, "name": n, "description": "", "links": []} for n in names]}
    )


def quota(call: Call, project_id: str) -> Answer:
    """GET shows, PUT (by an administrator) changes."""
    kinds = [singular for singular, _, _ in _KINDS.values()]
    if call.request.method == "PUT":
        if not call.token.is_admin:
            raise refused(403, "PolicyNotAuthorized", "rule:update_quota is disallowed by policy")
        limits = call.region.quotas.setdefault(project_id, {})
        limits.update({n: int(v) for n, v in (call.request.json().get("quota") or {}).items() if n in kinds})
        call.state.dirty = True
    return Answer(200, {"quota": {name: call.state.quota(call.region, project_id, name) for name in kinds}})


ROUTES = Routes(
    [
        ("GET", "/extensions", extensions),
        ("GET", "/quotas/<project_id>", quota),
        ("PUT", "/quotas/<project_id>", quota),
        ("PUT", "/routers/<router_id>/<verb>", router_interface),
        ("GET", "/<plural>", list_things),
        ("POST", "/<plural>", create_thing),
        ("GET", "/<plural>/<thing_id>", show_thing),
        ("PUT", "/<plural>/<thing_id>", update_thing),
        ("DELETE", "/<plural>/<thing_id>", delete_thing),
    ]
)
