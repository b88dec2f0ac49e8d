"""Neutron: networks, subnets, ports, routers, security groups and floating IPs."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from . import neutron_content, neutron_quotas, neutron_routers
from .addresses import NoAddressLeft, free_address, remove_port, take_address
from .clock import zulu
from .exchange import Answer, Call, Refused
from .listing import shown
from .moves import port_on, settle_servers, show_groups
from .neutron_things import find, refused, sees, things_of
from .routes import Routes
from .state import Thing

_NOT_FILTERS = {"limit", "marker", "fields", "sort_key", "sort_dir", "page_reverse"}
_BY_ID = itemgetter("id")
_CHANGEABLE = (
    "name", "description", "admin_state_up", "security_groups", "routes", "device_id", "device_owner", "enable_dhcp",
    "dns_nameservers", "shared",
)  # fmt: skip


def versions(base: str) -> Thing:
    """What a client asks first."""
    return {
        "versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/v2.0/"}]}]
    }


def list_things(call: Call, plural: str) -> Answer:
    """Sorted by id, as Neutron does for paging. Filters are exact; a repeated one is "any of"."""
    things, _, name = things_of(call, plural)
    if plural == "ports":
        settle_servers(call.state, call.region, call.now)
    if len(call.request.query_text) > 8000:
        raise Refused(Answer(414, b"Request-URI Too Long", content_type="text/plain"))
    wanted: dict[str, set[str]] = {}
    query: dict[str, str] = {}
    for key, value in call.query():
        query[key] = value
        if key not in _NOT_FILTERS:
            wanted.setdefault(key, set()).add(value)
    own = call.token.project_id
    found = [t for t in things.values() if t["project_id"] == own or sees(call, t)]
    for filtered, values in wanted.items():
        found = [t for t in found if _fits(t, filtered, values)]
    found.sort(key=_BY_ID)
    if (marker := query.get("marker")) is not None:
        if marker not in things:
            raise refused(404, f"{name}NotFound", f"{name} {marker} could not be found.")
        found = found[bisect_right(found, marker, key=_BY_ID) :]
    limit = _limit(query.get("limit", "0"))
    page = found[:limit] if limit else found
    key = plural.replace("-", "_")
    body: Thing = {key: [shown(thing) for thing in page]}
    if limit and len(page) == limit:
        kept = "".join(f"{n}={v}&" for n, v in call.query() if n != "marker")
        body[f"{key}_links"] = [
            {"rel": "next", "href": f"{call.base}/{plural}?{kept}marker={page[-1]['id']}"}
        ]
    return Answer(200, body)


def _limit(said: str) -> int:
    """0 is none."""
    if not said.isdecimal():
        words = f"Bad limit request: Limit must be an integer 0 or greater and not '{said}'."
        raise refused(400, "BadRequest", words)
    return int(said)


def _fits(thing: Thing, name: str, values: set[str]) -> bool:
    value = thing.get(name)
    if isinstance(value, bool):
        return str(value).lower() in {v.lower() for v in values}
    if name == "fixed_ips" and isinstance(value, list):
        # "subnet_id=..." or "ip_address=..."
        return any(f"{part}={fixed[part]}" in values for fixed in value for part in fixed)
    if isinstance(value, list):
        return any(str(one) in values for one in value)
    return str(value) in values


def show_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """One of them."""
    _, singular, _ = things_of(call, plural)
    return Answer(200, {singular: shown(find(call, plural, thing_id))})


def create_thing(call: Call, plural: str) -> Answer:
    """One more."""
    things, singular, _ = things_of(call, plural)
    wanted = call.request.json().get(singular)
    if not isinstance(wanted, dict):
        raise refused(400, "HTTPBadRequest", f"Resource body required: {singular}")
    neutron_quotas.check_quota(call, singular, things)
    new = _NEW[plural](call, wanted)
    things[new["id"]] = new
    call.state.dirty = True
    call.did(f"create_{singular}", new["id"])
    return Answer(201, {singular: shown(new)})


def _new_network(call: Call, wanted: Thing) -> Thing:
    return neutron_content.new_network(call.state, call.token.project_id or "", wanted)


def _new_subnet(call: Call, wanted: Thing) -> Thing:
    network = find(call, "networks", str(wanted.get("network_id")))
    try:
        net = ipaddress.ip_network(str(wanted.get("cidr")))
    except ValueError:
        words = f"Invalid input for cidr. Reason: '{wanted.get('cidr')}'."
        raise refused(400, "HTTPBadRequest", words) from None
    return neutron_content.new_subnet(call.state, call.token.project_id or "", network, net, wanted)


def _new_port(call: Call, wanted: Thing) -> Thing:
    network = find(call, "networks", str(wanted.get("network_id")))
    groups = wanted.get("security_groups")
    for group_id in groups or ():
        find(call, "security-groups", str(group_id))
    fixed = [_fixed(call, one) for one in wanted["fixed_ips"]] if wanted.get("fixed_ips") else None
    try:
        port = port_on(
            call.state,
            call.region,
            network,
            call.token.project_id or "",
            device_id=str(wanted.get("device_id") or ""),
            owner=str(wanted.get("device_owner") or ""),
            groups=groups,
            fixed=fixed,
        )
    except NoAddressLeft:
        words = f"No more IP addresses available on network {network['id']}."
        raise refused(409, "IpAddressGenerationFailure", words) from None
    port.update({name: wanted[name] for name in ("name", "description", "admin_state_up") if name in wanted})
    return port


def _fixed(call: Call, wanted: Thing) -> Thing:
    subnet = find(call, "subnets", str(wanted.get("subnet_id")))
    address = wanted.get("ip_address")
    if address is None:
        return {"subnet_id": subnet["id"], "ip_address": take_address(call.region, subnet)}
    found = {"subnet_id": subnet["id"], "ip_address": str(address)}
    if any(found in port["fixed_ips"] for port in call.region.ports.values()):
        words = f"IP address {address} already allocated in subnet {subnet['id']}"
        raise refused(409, "IpAddressAlreadyAllocated", words)
    return found


def _new_group(call: Call, wanted: Thing) -> Thing:
    return neutron_content.new_group(call.state, call.region, call.token.project_id or "", wanted)


def _new_rule(call: Call, wanted: Thing) -> Thing:
    group = find(call, "security-groups", str(wanted.get("security_group_id")))
    return neutron_content.add_rule(call.state, call.region, group, wanted)


_NEW: dict[str, Callable[[Call, Thing], Any]] = {
    "networks": _new_network,
    "subnets": _new_subnet,
    "ports": _new_port,
    "routers": neutron_routers.create_router,
    "security-groups": _new_group,
    "security-group-rules": _new_rule,
    "floatingips": neutron_routers.create_floating,
}


def update_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """Change what may be changed; for a floating IP also its port, for a router its gateway."""
    _, singular, _ = things_of(call, plural)
    found = find(call, plural, thing_id)
    wanted = call.request.json().get(singular) or {}
    if plural == "floatingips" and "port_id" in wanted:
        neutron_routers.associate(call, found, wanted["port_id"])
    if plural == "routers" and "external_gateway_info" in wanted:
        neutron_routers.set_gateway(call, found, wanted["external_gateway_info"])
    found.update({name: wanted[name] for name in _CHANGEABLE if name in wanted and name in found})
    if plural == "ports" and "security_groups" in wanted:
        server = call.region.servers.get(found["device_id"])
        if server is not None:
            show_groups(call.region, server)
    found["updated_at"] = zulu(call.now)
    call.state.dirty = True
    return Answer(200, {singular: shown(found)})


def delete_thing(call: Call, plural: str, thing_id: str) -> Answer:
    """Remove what is not in use."""
    things, singular, name = things_of(call, plural)
    found = find(call, plural, thing_id)
    if found.get("project_id") != call.token.project_id and not call.token.is_admin:
        raise refused(404, f"{name}NotFound", f"{name} {thing_id} could not be found.")
    check = _BEFORE_DELETE.get(plural)
    if check is not None:
        check(call, found)
    if plural == "ports":
        remove_port(call.region, thing_id)
    else:
        del things[thing_id]
    call.state.dirty = True
    call.did(f"delete_{singular}", thing_id)
    return Answer(204)


def _delete_network(call: Call, network: Thing) -> None:
    """It takes its subnets along."""
    users = [port["id"] for port in call.region.ports.values() if port["network_id"] == network["id"]]
    if users:
        words = f"Unable to complete operation on network {network['id']}. There are one or more ports still in use on "
        words += f"the network, id for these ports is: {','.join(users)}."
        raise refused(409, "NetworkInUse", words)
    for subnet_id in network["subnets"]:
        call.region.subnets.pop(subnet_id, None)


def _delete_subnet(call: Call, subnet: Thing) -> None:
    """One with addresses in use stays."""
    region = call.region
    if any(
        fixed["subnet_id"] == subnet["id"] for port in region.ports.values() for fixed in port["fixed_ips"]
    ):
        raise refused(409, "SubnetInUse", f"Unable to complete operation on subnet {subnet['id']}: One or more ports have "
                      "an IP allocation from this subnet.")  # fmt: skip
    network = region.networks[subnet["network_id"]]
    network["subnets"] = [subnet_id for subnet_id in network["subnets"] if subnet_id != subnet["id"]]


def _delete_port(call: Call, port: Thing) -> None:
    if port["device_owner"].startswith("network:router_"):
        words = f"Port {port['id']} cannot be deleted directly via the port API: has device owner {port['device_owner']}."
        raise refused(409, "ServicePortInUse", words)


def _delete_group(call: Call, group: Thing) -> None:
    if group["name"] == "default" and not call.token.is_admin:
        words = "Insufficient rights for removing default security group."
        raise refused(409, "SecurityGroupCannotRemoveDefault", words)
    if any(group["id"] in port["security_groups"] for port in call.region.ports.values()):
        raise refused(409, "SecurityGroupInUse", f"Security Group {group['id']} in use.")
    for rule in group["security_group_rules"]:
        call.region.security_group_rules.pop(rule["id"], None)


def _delete_rule(call: Call, rule: Thing) -> None:
    group = call.region.security_groups[rule["security_group_id"]]
    group["security_group_rules"] = [r for r in group["security_group_rules"] if r["id"] != rule["id"]]


def _delete_floating(call: Call, floating: Thing) -> None:
    neutron_routers.associate(call, floating, None)
    network = call.region.networks.get(floating["floating_network_id"], {})
    for subnet_id in network.get("subnets", ()):
        free_address(call.region, subnet_id, floating["floating_ip_address"])


_BEFORE_DELETE: dict[str, Callable[[Call, Thing], None]] = {
    "networks": _delete_network,
    "subnets": _delete_subnet,
    "ports": _delete_port,
    "routers": neutron_routers.check_unused,
    "security-groups": _delete_group,
    "security-group-rules": _delete_rule,
    "floatingips": _delete_floating,
}


def extensions(call: Call) -> Answer:
    """Those that clients ask for."""
    names = (
        "router", "security-group", "external-net", "quotas", "quota_details", "net-mtu", "standard-attr-tag",
    )  # fmt: skip
    return Answer(
        200, {"extensions": [{"alias": n, "name": n, "description": "", "links": []} for n in names]}
    )


ROUTES = Routes(
    [
        ("GET", "/extensions", extensions),
        ("GET", "/quotas/<project_id>", neutron_quotas.show_quota),
        ("GET", "/quotas/<project_id>/details", neutron_quotas.show_details),
        ("PUT", "/quotas/<project_id>", neutron_quotas.put_quota),
        ("PUT", "/routers/<router_id>/<verb>", neutron_routers.change_interface),
        ("GET", "/<plural>", list_things),
        ("POST", "/<plural>", create_thing),
        ("GET", "/<plural>/<thing_id>", show_thing),
        ("PUT", "/<plural>/<thing_id>", update_thing),
        ("DELETE", "/<plural>/<thing_id>", delete_thing),
    ]
)
