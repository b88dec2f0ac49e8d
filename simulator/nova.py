"""Nova: list, update and delete servers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from . import (
    nova_actions,
    nova_consoles,
    nova_creation,
    nova_flavors,
    nova_history,
    nova_hosts,
    nova_interfaces,
    nova_keypairs,
    nova_migrations,
    nova_passwords,
    nova_quotas,
    nova_server_groups,
    nova_tags,
    nova_transitions,
    nova_volumes,
    nova_zones,
)
from .calls import Call
from .http_messages import Response, bad_request, unwrap
from .nova_lookup import check_lock, find_server
from .pagination import parse_count
from .routes import Routes
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server

MAX_VERSION = (2, 93)
_MAX_PAGE = 1000
_STATUSES = {
    "ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD",
    "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED",
    "UNKNOWN", "VERIFY_RESIZE",
}  # fmt: skip


def version_document(base: str) -> Resource:
    """Return the version document, which tells the supported microversions."""
    return {
        "id": "v2.1", "status": "CURRENT", "version": "2.93", "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}],
    }  # fmt: skip


def list_servers(call: Call) -> Response:
    """List ids, names and links."""
    servers, links = _select_page(call, "servers")
    found = [
        {"id": s.id, "name": s.name, "links": [{"rel": "self", "href": f"{call.base}/servers/{s.id}"}]}
        for s in servers
    ]
    return Response(200, {"servers": found, **({"servers_links": links} if links else {})})


def list_servers_in_detail(call: Call) -> Response:
    """List all fields. The body is joined from the servers' cached JSON texts."""
    servers, links = _select_page(call, "servers/detail")
    old, is_admin = call.microversion < (2, 47), call.token.is_admin
    text = ", ".join([server.json_text(call.base, plain_old=old, is_admin=is_admin) for server in servers])
    tail = f', "servers_links": {json.dumps(links)}' if links else ""
    return Response(200, f'{{"servers": [{text}]{tail}}}'.encode())


def show_server(call: Call, server_id: str) -> Response:
    """Show one server."""
    server = find_server(call, server_id)
    if server.task_state == "scheduling":
        # Until a host has the server, Nova shows the time of the request as "updated".
        server.updated, server.text = call.now, None
    text = server.json_text(call.base, plain_old=call.microversion < (2, 47), is_admin=call.token.is_admin)
    more: Resource = {}
    if call.microversion >= (2, 71):
        more["server_groups"] = [server.group_id] if server.group_id in call.region.server_groups else []
    if call.microversion >= (2, 73):
        more["locked_reason"] = server.locked_reason
    if more:
        text = f"{text[:-1]}, {json.dumps(more)[1:]}"
    return Response(200, f'{{"server": {text}}}'.encode())


def _select_page(  # noqa: C901 - one loop over 10,000 servers, in which calls would be slow.
    call: Call, path: str
) -> tuple[list[SimulatedServer], list[Resource]]:
    requested = _parse_filters(call)
    limit = min(requested.pop("limit", _MAX_PAGE), _MAX_PAGE)
    marker = requested.pop("marker", None)
    all_projects = requested.pop("all", False)
    since = requested.pop("since", None)
    order, positions = call.region.list_newest_first()
    start = 0
    if marker is not None:
        if marker not in positions:
            raise bad_request(f"marker [{marker}] not found")
        start = positions[marker] + 1
    project_id, now = call.token.project_id, call.now
    found: list[SimulatedServer] = []
    if limit == 0:
        return [], []
    for position in range(start, len(order)):
        server = order[position]
        if server.project_id != project_id and not all_projects:
            continue
        if server.is_waiting:
            advance_server(call.state, call.region, server, now)
        if since is None:
            # Nova hides soft-deleted servers, too; with changes-since it lists them.
            if server.is_deleted or server.vm_state == "soft-delete":
                continue
        elif server.updated < since:
            continue
        if requested and not _matches_filters(server, requested):
            continue
        found.append(server)
        if len(found) == limit:
            break
    links = []
    if len(found) == limit:
        kept = "&".join(p for p in call.request.query_text.split("&") if p and not p.startswith("marker="))
        links = [{"rel": "next", "href": f"{call.base}/{path}?{kept}&marker={found[-1].id}"}]
    return found, links


def _parse_filters(call: Call) -> dict[str, Any]:  # noqa: C901 - one branch a parameter.
    requested: dict[str, Any] = {}
    for name, value in call.query():
        if name == "limit":
            requested["limit"] = parse_count(name, value)
        elif name == "marker":
            requested["marker"] = value
        elif name == "changes-since":
            requested["since"] = _parse_changes_since(value)
        elif name in {"all_tenants", "all_projects"}:
            if value.lower() not in {"0", "false", ""}:
                call.require_admin("os_compute_api:servers:detail:get_all_tenants")
                requested["all"] = True
        elif name == "status":
            # An unknown status is refused only when it is the only one.
            requested.setdefault("status", set()).add(value.upper())
        elif name in {"tags", "tags-any", "not-tags"}:
            requested[name] = set(value.split(","))
        elif name in {"name", "flavor", "image", "uuid", "host", "project_id"}:
            requested[name] = value
        elif (
            not name.startswith("_")
            and call.microversion >= (2, 75)
            and name not in {"sort_key", "sort_dir", "deleted"}
        ):
            raise bad_request(f"'{name}' does not match any of the regexes: '^_'")
    if "status" in requested and not requested["status"] & _STATUSES:
        raise bad_request("Invalid status value")
    return requested


def _parse_changes_since(value: str) -> float:
    try:
        timestamp = datetime.fromisoformat(value)
    except ValueError:
        raise bad_request(
            f"Invalid input for query parameters changes-since. Value: {value}. '{value}' is not a 'date-time'"
        ) from None
    # Databases store whole seconds.
    return float(int((timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()))


def _matches_filters(server: SimulatedServer, requested: dict[str, Any]) -> bool:
    tags = set(server.tags)
    return (
        ("status" not in requested or server.status in requested["status"])
        and ("tags" not in requested or requested["tags"] <= tags)
        and ("tags-any" not in requested or bool(requested["tags-any"] & tags))
        and ("not-tags" not in requested or not requested["not-tags"] <= tags)
        and ("name" not in requested or re.search(requested["name"], server.name) is not None)
        and ("flavor" not in requested or server.flavor["id"] == requested["flavor"])
        and ("image" not in requested or server.image_id == requested["image"])
        and ("uuid" not in requested or server.id == requested["uuid"])
        and ("project_id" not in requested or server.project_id == requested["project_id"])
    )


def update_server(call: Call, server_id: str) -> Response:
    """Rename or describe a server."""
    call.action, call.object_id = "update_server", server_id
    requested = unwrap(call.request.json(), "server")
    if "name" in requested:
        nova_tags.check_name(requested["name"])
    server = find_server(call, server_id)
    server.name = requested.get("name", server.name)
    server.description = requested.get("description", server.description)
    server.updated = call.now
    server.text = None
    call.state.dirty = True
    call.record_accepted("update_server", server_id)
    return show_server(call, server_id)


def delete_server(call: Call, server_id: str) -> Response:
    """Start the deletion of a server. A repetition during the deletion is accepted."""
    call.action, call.object_id = "delete", server_id
    server = find_server(call, server_id)
    check_lock(call, server)
    if call.state.soft_delete and server.launched is not None:
        nova_transitions.begin_soft_delete(call, server)
    elif server.task_state != "deleting" or not server.plan:
        # A lost deletion is started again where no host has the server.
        nova_transitions.begin_delete(call, server)
    call.record_accepted("delete", server_id)
    return Response(204)


ROUTES = Routes(
    [
        ("GET", "/servers", list_servers),
        ("GET", "/servers/detail", list_servers_in_detail),
        ("POST", "/servers", nova_creation.create_server),
        ("GET", "/servers/<server_id>", show_server),
        ("PUT", "/servers/<server_id>", update_server),
        ("DELETE", "/servers/<server_id>", delete_server),
        *nova_actions.TABLE,
        *nova_consoles.TABLE,
        *nova_flavors.TABLE,
        *nova_history.TABLE,
        *nova_hosts.TABLE,
        *nova_migrations.TABLE,
        *nova_interfaces.TABLE,
        *nova_keypairs.TABLE,
        *nova_passwords.TABLE,
        *nova_quotas.TABLE,
        *nova_server_groups.TABLE,
        *nova_zones.TABLE,
        *nova_tags.TABLE,
        *nova_volumes.TABLE,
    ]
)
