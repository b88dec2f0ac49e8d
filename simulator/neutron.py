"""Neutron: networks, subnets, ports, routers, security groups and floating IPs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from . import (
    neutron_attributes,
    neutron_floating_ips,
    neutron_groups,
    neutron_networks,
    neutron_ports,
    neutron_quotas,
    neutron_routers,
)
from .calls import Call
from .clock import format_zulu
from .http_messages import HttpError, Response
from .neutron_lookup import can_see, find_resource, neutron_error, not_found_error, select_collection
from .pagination import serialize
from .ports import advance_floating_ips, ensure_default_group
from .routes import Routes
from .state import Resource
from .transitions import advance_servers

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
    resources, _, _ = select_collection(call, plural)
    _apply_due_changes(call)
    if plural.startswith("security-group"):
        ensure_default_group(call.state, call.region, call.token.project_id or "")
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
            raise not_found_error(plural, marker)
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


def _apply_due_changes(call: Call) -> None:
    """Apply the changes of servers, whose removal takes their ports along, and the late statuses of floating IPs."""
    advance_servers(call.state, call.region, call.now)
    advance_floating_ips(call.region, call.now)


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
    _apply_due_changes(call)
    return Response(200, {singular: serialize(find_resource(call, plural, resource_id))})


def create_resource(call: Call, plural: str) -> Response:
    """Create a resource, within the project's quota."""
    resources, singular, _ = select_collection(call, plural)
    _apply_due_changes(call)
    requested = call.request.json().get(singular)
    if not isinstance(requested, dict):
        raise neutron_error(400, "HTTPBadRequest", f"Unable to find '{singular}' in request body")
    neutron_attributes.check_required(plural, requested)
    neutron_attributes.check_attributes(plural, requested)
    neutron_quotas.check_quota(call, singular, resources)
    new = _BUILDERS[plural](call, requested)
    resources[new["id"]] = new
    call.state.dirty = True
    call.record_accepted(f"create_{singular}", new["id"])
    return Response(201, {singular: serialize(new)})


_BUILDERS: dict[str, Callable[[Call, Resource], Any]] = {
    "networks": neutron_networks.create_network,
    "subnets": neutron_networks.create_subnet,
    "ports": neutron_ports.build_port,
    "routers": neutron_routers.create_router,
    "security-groups": neutron_groups.build_group,
    "security-group-rules": neutron_groups.build_rule,
    "floatingips": neutron_floating_ips.create_floating_ip,
}


def update_resource(call: Call, plural: str, resource_id: str) -> Response:
    """Update the changeable fields, with the revision that the request may name."""
    _, singular, _ = select_collection(call, plural)
    _apply_due_changes(call)
    found = _find_own_resource(call, plural, resource_id)
    _check_revision(call, found)
    requested = call.request.json().get(singular) or {}
    neutron_attributes.check_attributes(plural, requested)
    prepare = _UPDATE_PREPARATIONS.get(plural)
    if prepare is not None:
        prepare(call, found, requested)
    found.update({name: requested[name] for name in _CHANGEABLE if name in requested and name in found})
    if plural == "ports" and "security_groups" in requested:
        neutron_ports.show_update_on_server(call.region, found)
    found["updated_at"] = format_zulu(call.now)
    found["revision_number"] += 1
    call.state.dirty = True
    call.record_accepted(f"update_{singular}", resource_id)
    return Response(200, {singular: serialize(found)})


def _set_gateway(call: Call, router: Resource, requested: Resource) -> None:
    if "external_gateway_info" in requested:
        neutron_routers.set_gateway(call, router, requested["external_gateway_info"])


_UPDATE_PREPARATIONS: dict[str, Callable[[Call, Resource, Resource], None]] = {
    "ports": neutron_ports.prepare_port_update,
    "routers": _set_gateway,
    "security-groups": neutron_groups.check_group_update,
    "floatingips": neutron_floating_ips.update_floating_ip,
}


def _check_revision(call: Call, found: Resource) -> None:
    """Raise `HttpError` 412 when the request is for another revision than the present one."""
    wanted = call.request.headers.get("if-match", "").removeprefix("revision_number=")
    if wanted and wanted != str(found["revision_number"]):
        message = f"Constrained to {wanted}, but current revision is {found['revision_number']}"
        raise neutron_error(412, "RevisionNumberConstraintFailed", message)


def _find_own_resource(call: Call, plural: str, resource_id: str) -> Resource:
    """Return a resource that the caller may change. Raises `HttpError` 404, for one that is only shared with the caller, too."""
    found = find_resource(call, plural, resource_id)
    if found.get("project_id") != call.token.project_id and not call.token.is_admin:
        raise not_found_error(plural, resource_id)
    return found


def delete_resource(call: Call, plural: str, resource_id: str) -> Response:
    """Delete a resource that is not in use."""
    resources, singular, _ = select_collection(call, plural)
    _apply_due_changes(call)
    found = _find_own_resource(call, plural, resource_id)
    _check_revision(call, found)
    prepare = _DELETION_PREPARATIONS.get(plural)
    if prepare is not None:
        prepare(call, found)
    if plural == "ports":
        neutron_ports.remove_port(call, found)
    else:
        del resources[resource_id]
    call.state.dirty = True
    call.record_accepted(f"delete_{singular}", resource_id)
    return Response(204)


_DELETION_PREPARATIONS: dict[str, Callable[[Call, Resource], None]] = {
    "networks": neutron_networks.prepare_network_deletion,
    "subnets": neutron_networks.prepare_subnet_deletion,
    "ports": lambda _call, port: neutron_ports.check_port_deletion(port),
    "routers": neutron_routers.prepare_router_deletion,
    "security-groups": neutron_groups.prepare_group_deletion,
    "security-group-rules": neutron_groups.prepare_rule_deletion,
    "floatingips": neutron_floating_ips.release_floating_ip,
}


def list_extensions(call: Call) -> Response:
    """List the extensions that clients look for."""
    names = (
        "router", "security-group", "external-net", "quotas", "quota_details", "net-mtu", "standard-attr-tag",
        "standard-attr-revisions", "standard-attr-description", "revision-if-match", "port-security", "fip-port-details",
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
