"""Nova: list, create, update and delete servers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from . import (
    nova_actions,
    nova_consoles,
    nova_flavors,
    nova_history,
    nova_images,
    nova_interfaces,
    nova_keypairs,
    nova_quotas,
    nova_tags,
    nova_transitions,
    nova_volumes,
    nova_zones,
)
from .calls import Call
from .http_messages import Response, bad_request, unwrap
from .nova_lookup import find_server
from .routes import Routes
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server, advance_volume, schedule_build

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
    old = call.microversion < (2, 47)
    text = ", ".join([server.json_text(call.base, plain_old=old) for server in servers])
    tail = f', "servers_links": {json.dumps(links)}' if links else ""
    return Response(200, f'{{"servers": [{text}]{tail}}}'.encode())


def show_server(call: Call, server_id: str) -> Response:
    """Show one server."""
    server = find_server(call, server_id)
    if server.task_state == "scheduling":
        # Until a host has the server, Nova shows the time of the request as "updated".
        server.updated, server.text = call.now, None
    text = server.json_text(call.base, plain_old=call.microversion < (2, 47))
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
            if not re.fullmatch(r"[0-9]*", value):
                raise bad_request(
                    f"Invalid input for query parameters limit. Value: {value}. '{value}' does not match '^[0-9]*$'"
                )
            requested["limit"] = int(value or 0)
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


def create_server(call: Call) -> Response:  # noqa: C901 - one refusal after the other, in Nova's order.
    """Accept a new server. Raises `HttpError` in Nova's words and order."""
    call.action = "create"
    requested = unwrap(call.request.json(), "server")
    state, region = call.state, call.region
    name: Any = requested.get("name")
    nova_tags.check_name(name)
    flavor = region.flavors.get(str(requested.get("flavorRef")))
    if call.microversion >= (2, 37) and "networks" not in requested:
        raise bad_request(
            f"Invalid input for field/attribute server. Value: {requested}. 'networks' is a required property"
        )
    if flavor is None:
        raise bad_request(f"Flavor {requested.get('flavorRef')} could not be found.")
    if "tags" in requested and call.microversion < (2, 52):
        raise bad_request("Additional properties are not allowed ('tags' was unexpected)")
    tags = nova_tags.validate_tags(requested.get("tags") or [])
    image_id = requested.get("imageRef") or None
    image = None if image_id is None else nova_images.find_bootable_image(call, str(image_id))
    zone = requested.get("availability_zone") or next(
        (name for name, is_up in region.zones.items() if is_up), ""
    )
    if not region.zones.get(zone):
        raise bad_request("The requested availability zone is not available")
    metadata = nova_tags.validate_metadata(call, requested.get("metadata") or {})
    networks = _select_networks(call, requested.get("networks"))
    volumes = _select_boot_volumes(call, requested)
    if image is None and not volumes:
        raise bad_request("Missing imageRef attribute")
    disks = nova_images.parse_block_devices(image) if image is not None else []
    for attached in volumes:
        if attached["root"]:
            nova_images.check_volume_fits(region.volumes[attached["id"]], flavor)
    if image is not None and not any(attached["root"] for attached in volumes):
        root = next((disk for disk in disks if disk["boot_index"] == 0), None)
        nova_images.check_flavor_fits(image, flavor, volume_gb=root["volume_size"] if root else None)
    if requested.get("key_name") and f"{call.token.user_id} {requested['key_name']}" not in region.keypairs:
        raise bad_request("Invalid key_name provided.")
    groups = nova_interfaces.select_security_groups(call, requested.get("security_groups"))
    nova_quotas.check_server_quota(call, flavor)
    volumes += nova_images.create_boot_volumes(call, disks)
    now = call.now
    server = SimulatedServer(
        id=state.new_id(),
        name=name,
        project_id=call.token.project_id or "",
        user_id=call.token.user_id,
        flavor=nova_flavors.build_server_flavor(flavor),
        image_id=image_id,
        created=now,
        updated=now,
        tags=tags,
        metadata=metadata,
        zone=zone,
        image_meta=nova_images.build_image_meta(image, flavor),
        key_name=requested.get("key_name"),
        volumes=volumes,
        description=requested.get("description"),
        group_names=[group["name"] for group in groups] or ["default"],
        group_ids=[group["id"] for group in groups] or None,
    )
    nova_history.record_action(call, server, "create")
    for attached in volumes:
        region.volumes[attached["id"]].update({"status": "reserved", "_server": server.id})
    schedule_build(state, region, server, networks, now)
    region.add_server(server)
    state.dirty = True
    call.record_accepted("create", server.id)
    body = {
        "id": server.id,
        "links": [{"rel": "self", "href": f"{call.base}/servers/{server.id}"}],
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [{"name": name} for name in server.group_names],
        "adminPass": state.new_hex()[:12],
    }
    return Response(202, {"server": body}, {"Location": f"{call.base}/servers/{server.id}"})


def _select_boot_volumes(call: Call, requested: Resource) -> list[Resource]:
    found: list[Resource] = []
    for mapping in requested.get("block_device_mapping_v2") or ():
        if mapping.get("source_type") != "volume":
            continue
        volume = call.region.volumes.get(mapping.get("uuid"))
        if volume is not None:
            advance_volume(call.state, call.region, volume, call.now)
        if volume is None or volume["os-vol-tenant-attr:tenant_id"] != call.token.project_id:
            raise bad_request(f"Block Device Mapping is Invalid: failed to get volume {mapping.get('uuid')}.")
        if volume["status"] != "available":
            raise bad_request(
                f"Invalid volume: Invalid input received: Invalid volume: Volume {volume['id']} status must be available "
                f"or downloading to reserve, but the current status is {volume['status']}. (HTTP 400)"
            )
        if mapping.get("boot_index") == 0 and volume["bootable"] != "true":
            raise bad_request(f"Block Device {volume['id']} is not bootable.")
        found.append(
            {
                "id": volume["id"],
                "delete_on_termination": bool(mapping.get("delete_on_termination")),
                "device": nova_volumes.next_device_name(
                    found, is_volume_booted=requested.get("imageRef") is None
                ),
                "root": mapping.get("boot_index") == 0,
            }
        )
    return found


def _select_networks(call: Call, requested: object) -> list[Resource]:
    visible = [
        n
        for n in call.region.networks.values()
        if n["shared"] or n["project_id"] == call.token.project_id or call.token.is_admin
    ]
    if requested == "none":
        return []
    if requested in (None, "auto"):
        return [n for n in visible if not n["router:external"]][:1]
    if not isinstance(requested, list):
        raise bad_request("Invalid input for field/attribute networks.")
    found = []
    for entry in requested:
        network = next((n for n in visible if n["id"] == entry.get("uuid")), None)
        if network is None:
            raise bad_request(f"Network {entry.get('uuid')} could not be found.")
        if not network["subnets"]:
            raise bad_request(f"Network {network['id']} requires a subnet in order to boot instances on.")
        found.append(network)
    return found


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
        ("POST", "/servers", create_server),
        ("GET", "/servers/<server_id>", show_server),
        ("PUT", "/servers/<server_id>", update_server),
        ("DELETE", "/servers/<server_id>", delete_server),
        *nova_actions.TABLE,
        *nova_consoles.TABLE,
        *nova_flavors.TABLE,
        *nova_history.TABLE,
        *nova_interfaces.TABLE,
        *nova_keypairs.TABLE,
        *nova_quotas.TABLE,
        *nova_zones.TABLE,
        *nova_tags.TABLE,
        *nova_volumes.TABLE,
    ]
)
