"""Neutron: networks, subnets, ports, routers, security groups and floating IPs."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from . import neutron_quotas, neutron_resources, neutron_routers
from .calls import Call
from .clock import format_zulu
from .http_messages import HttpError, Response
from .neutron_lookup import can_see, find_resource, neutron_error, select_collection
from .pagination import serialize
from .ports import NoFreeAddressError, allocate_address, delete_port, release_address
from .routes import Routes
from .state import Resource
from .transitions import advance_servers, allocate_port, refresh_group_names

_PAGING_PARAMETERS = {"limit", "marker", "fields", "sort_key", "sort_dir", "page_reverse"}
_BY_ID = itemgetter("id")
_CHANGEABLE = (
    "name", "description", "admin_state_up", "security_groups", "routes", "device_id", "device_owner", "enable_dhcp",
    "dns_nameservers", "shared",
)  # fmt: skip


def version_document(base: str) -> Resource:
    """Return the version document that clients read first."""
    return {
        "versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{base}/v2.0/"}]}]
    }


def list_resources(call: Call, plural: str) -> Response:
    """List resources sorted by id, as Neutron does for paging. Filters are exact; a repeated filter matches any of its values."""
    resources, _, name = select_collection(call, plural)
    if plural == "ports":
        advance_servers(call.state, call.region, call.now)
    if len(call.request.query_text) > 8000:
        raise HttpError(Response(414, b"Request-URI Too Long", content_type="text/plain"))
    requested: dict[str, set[str]] = {}
    query: dict[str, str] = {}
    for key, value in call.query():
        query[key] = value
        if key not in _PAGING_PARAMETERS:
            requested.setdefault(key, set()).add(value)
    own = call.token.project_id
    found = [t for t in resources.values() if t["project_id"] == own or can_see(call, t)]
    for filtered, values in requested.items():
        found = [t for t in found if _matches_filter(t, filtered, values)]
    found.sort(key=_BY_ID)
    if (marker := query.get("marker")) is not None:
        if marker not in resources:
            raise neutron_error(404, f"{name}NotFound", f"{name} {marker} could not be found.")
        found = found[bisect_right(found, marker, key=_BY_ID) :]
    limit = _parse_limit(query.get("limit", "0"))
    page = found[:limit] if limit else found
    key = plural.replace("-", "_")
    body: Resource = {key: [serialize(resource) for resource in page]}
    if limit and len(page) == limit:
        kept = "".join(f"{n}={v}&" for n, v in call.query() if n != "marker")
        body[f"{key}_links"] = [
            {"rel": "next", "href": f"{call.base}/{plural}?{kept}marker={page[-1]['id']}"}
        ]
    return Response(200, body)


def _parse_limit(given: str) -> int:
    """Parse the page limit; 0 is no limit."""
    if not given.isdecimal():
        message = f"Bad limit request: Limit must be an integer 0 or greater and not '{given}'."
        raise neutron_error(400, "BadRequest", message)
    return int(given)


def _matches_filter(resource: Resource, name: str, values: set[str]) -> bool:
    value = resource.get(name)
    if isinstance(value, bool):
        return str(value).lower() in {v.lower() for v in values}
    if name == "fixed_ips" and isinstance(value, list):
        # "subnet_id=..." or "ip_address=..."
        return any(f"{part}={fixed[part]}" in values for fixed in value for part in fixed)
    if isinstance(value, list):
        return any(str(one) in values for one in value)
    return str(value) in values


def show_resource(call: Call, plural: str, resource_id: str) -> Response:
    """Show one resource."""
    _, singular, _ = select_collection(call, plural)
    return Response(200, {singular: serialize(find_resource(call, plural, resource_id))})


def create_resource(call: Call, plural: str) -> Response:
    """Create a resource, within the project's quota."""
    resources, singular, _ = select_collection(call, plural)
    requested = call.request.json().get(singular)
    if not isinstance(requested, dict):
        raise neutron_error(400, "HTTPBadRequest", f"Resource body required: {singular}")
    neutron_quotas.check_quota(call, singular, resources)
    new = _BUILDERS[plural](call, requested)
    resources[new["id"]] = new
    call.state.dirty = True
    call.record_accepted(f"create_{singular}", new["id"])
    return Response(201, {singular: serialize(new)})


def _build_network(call: Call, requested: Resource) -> Resource:
    return neutron_resources.build_network(call.state, call.token.project_id or "", requested)


def _build_subnet(call: Call, requested: Resource) -> Resource:
    network = find_resource(call, "networks", str(requested.get("network_id")))
    try:
        net = ipaddress.ip_network(str(requested.get("cidr")))
    except ValueError:
        message = f"Invalid input for cidr. Reason: '{requested.get('cidr')}'."
        raise neutron_error(400, "HTTPBadRequest", message) from None
    return neutron_resources.build_subnet(call.state, call.token.project_id or "", network, net, requested)


def _build_port(call: Call, requested: Resource) -> Resource:
    network = find_resource(call, "networks", str(requested.get("network_id")))
    groups = requested.get("security_groups")
    for group_id in groups or ():
        find_resource(call, "security-groups", str(group_id))
    fixed = (
        [_build_fixed_ip(call, one) for one in requested["fixed_ips"]] if requested.get("fixed_ips") else None
    )
    try:
        port = allocate_port(
            call.state,
            call.region,
            network,
            call.token.project_id or "",
            device_id=str(requested.get("device_id") or ""),
            owner=str(requested.get("device_owner") or ""),
            groups=groups,
            fixed=fixed,
        )
    except NoFreeAddressError:
        message = f"No more IP addresses available on network {network['id']}."
        raise neutron_error(409, "IpAddressGenerationFailure", message) from None
    port.update(
        {name: requested[name] for name in ("name", "description", "admin_state_up") if name in requested}
    )
    return port


def _build_fixed_ip(call: Call, requested: Resource) -> Resource:
    subnet = find_resource(call, "subnets", str(requested.get("subnet_id")))
    address = requested.get("ip_address")
    if address is None:
        return {"subnet_id": subnet["id"], "ip_address": allocate_address(call.region, subnet)}
    found = {"subnet_id": subnet["id"], "ip_address": str(address)}
    if any(found in port["fixed_ips"] for port in call.region.ports.values()):
        message = f"IP address {address} already allocated in subnet {subnet['id']}"
        raise neutron_error(409, "IpAddressAlreadyAllocated", message)
    return found


def _build_group(call: Call, requested: Resource) -> Resource:
    return neutron_resources.build_security_group(
        call.state, call.region, call.token.project_id or "", requested
    )


def _build_rule(call: Call, requested: Resource) -> Resource:
    group = find_resource(call, "security-groups", str(requested.get("security_group_id")))
    return neutron_resources.add_rule(call.state, call.region, group, requested)


_BUILDERS: dict[str, Callable[[Call, Resource], Any]] = {
    "networks": _build_network,
    "subnets": _build_subnet,
    "ports": _build_port,
    "routers": neutron_routers.create_router,
    "security-groups": _build_group,
    "security-group-rules": _build_rule,
    "floatingips": neutron_routers.create_floating_ip,
}


def update_resource(call: Call, plural: str, resource_id: str) -> Response:
    """Update the changeable fields, a floating IP's port and a router's gateway."""
    _, singular, _ = select_collection(call, plural)
    found = find_resource(call, plural, resource_id)
    requested = call.request.json().get(singular) or {}
    if plural == "floatingips" and "port_id" in requested:
        neutron_routers.associate_floating_ip(call, found, requested["port_id"])
    if plural == "routers" and "external_gateway_info" in requested:
        neutron_routers.set_gateway(call, found, requested["external_gateway_info"])
    found.update({name: requested[name] for name in _CHANGEABLE if name in requested and name in found})
    if plural == "ports" and "security_groups" in requested:
        server = call.region.servers.get(found["device_id"])
        if server is not None:
            refresh_group_names(call.region, server)
    found["updated_at"] = format_zulu(call.now)
    call.state.dirty = True
    return Response(200, {singular: serialize(found)})


def delete_resource(call: Call, plural: str, resource_id: str) -> Response:
    """Delete a resource that is not in use."""
    resources, singular, name = select_collection(call, plural)
    found = find_resource(call, plural, resource_id)
    if found.get("project_id") != call.token.project_id and not call.token.is_admin:
        raise neutron_error(404, f"{name}NotFound", f"{name} {resource_id} could not be found.")
    check = _DELETION_PREPARATIONS.get(plural)
    if check is not None:
        check(call, found)
    if plural == "ports":
        delete_port(call.region, resource_id)
    else:
        del resources[resource_id]
    call.state.dirty = True
    call.record_accepted(f"delete_{singular}", resource_id)
    return Response(204)


def _prepare_network_deletion(call: Call, network: Resource) -> None:
    """Delete a network's subnets with it. Raises `HttpError` 409 while ports are on it."""
    users = [port["id"] for port in call.region.ports.values() if port["network_id"] == network["id"]]
    if users:
        message = f"Unable to complete operation on network {network['id']}. There are one or more ports still in use on "
        message += f"the network, id for these ports is: {','.join(users)}."
        raise neutron_error(409, "NetworkInUse", message)
    for subnet_id in network["subnets"]:
        call.region.subnets.pop(subnet_id, None)


def _prepare_subnet_deletion(call: Call, subnet: Resource) -> None:
    """Take a subnet from its network. Raises `HttpError` 409 while addresses of it are in use."""
    region = call.region
    if any(
        fixed["subnet_id"] == subnet["id"] for port in region.ports.values() for fixed in port["fixed_ips"]
    ):
        raise neutron_error(409, "SubnetInUse", f"Unable to complete operation on subnet {subnet['id']}: One or more ports have "
                      "an IP allocation from this subnet.")  # fmt: skip
    network = region.networks[subnet["network_id"]]
    network["subnets"] = [subnet_id for subnet_id in network["subnets"] if subnet_id != subnet["id"]]


def _check_port_deletion(call: Call, port: Resource) -> None:
    if port["device_owner"].startswith("network:router_"):
        message = f"Port {port['id']} cannot be deleted directly via the port API: has device owner {port['device_owner']}."
        raise neutron_error(409, "ServicePortInUse", message)


def _prepare_group_deletion(call: Call, group: Resource) -> None:
    if group["name"] == "default" and not call.token.is_admin:
        message = "Insufficient rights for removing default security group."
        raise neutron_error(409, "SecurityGroupCannotRemoveDefault", message)
    if any(group["id"] in port["security_groups"] for port in call.region.ports.values()):
        raise neutron_error(409, "SecurityGroupInUse", f"Security Group {group['id']} in use.")
    for rule in group["security_group_rules"]:
        call.region.security_group_rules.pop(rule["id"], None)


def _prepare_rule_deletion(call: Call, rule: Resource) -> None:
    group = call.region.security_groups[rule["security_group_id"]]
    group["security_group_rules"] = [r for r in group["security_group_rules"] if r["id"] != rule["id"]]


def _prepare_floating_ip_deletion(call: Call, floating: Resource) -> None:
    neutron_routers.associate_floating_ip(call, floating, None)
    network = call.region.networks.get(floating["floating_network_id"], {})
    for subnet_id in network.get("subnets", ()):
        release_address(call.region, subnet_id, floating["floating_ip_address"])


_DELETION_PREPARATIONS: dict[str, Callable[[Call, Resource], None]] = {
    "networks": _prepare_network_deletion,
    "subnets": _prepare_subnet_deletion,
    "ports": _check_port_deletion,
    "routers": neutron_routers.prepare_router_deletion,
    "security-groups": _prepare_group_deletion,
    "security-group-rules": _prepare_rule_deletion,
    "floatingips": _prepare_floating_ip_deletion,
}


def list_extensions(call: Call) -> Response:
    """List the extensions that clients look for."""
    names = (
        "router", "security-group", "external-net", "quotas", "quota_details", "net-mtu", "standard-attr-tag",
    )  # fmt: skip
    return Response(
        200, {"extensions": [{"alias": n, "name": n, "description": "", "links": []} for n in names]}
    )


ROUTES = Routes(
    [
        ("GET", "/extensions", list_extensions),
        ("GET", "/quotas/<project_id>", neutron_quotas.show_quota),
        ("GET", "/quotas/<project_id>/details", neutron_quotas.show_details),
        ("PUT", "/quotas/<project_id>", neutron_quotas.put_quota),
        ("PUT", "/routers/<router_id>/<verb>", neutron_routers.change_interface),
        ("GET", "/<plural>", list_resources),
        ("POST", "/<plural>", create_resource),
        ("GET", "/<plural>/<resource_id>", show_resource),
        ("PUT", "/<plural>/<resource_id>", update_resource),
        ("DELETE", "/<plural>/<resource_id>", delete_resource),
    ]
)
