"""Nova: servers, their listings, creation and removal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from . import nova_actions, nova_consoles, nova_images, nova_others, nova_steps, nova_tags, nova_volumes
from .clock import plain, zulu
from .exchange import Answer, Call, bad_request, forbidden, inner, not_found
from .moves import build_plan, settle_server, settle_servers, settle_volume
from .routes import Routes
from .server import SimulatedServer
from .state import Thing

MAX_VERSION = (2, 93)
_MAX_PAGE = 1000
_STATUSES = {
    "ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD",
    "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED",
    "UNKNOWN", "VERIFY_RESIZE",
}  # fmt: skip


def version_document(base: str) -> Thing:
    """What a client asks first: which microversions are there."""
    return {
        "id": "v2.1", "status": "CURRENT", "version": "2.93", "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}],
    }  # fmt: skip


def find(call: Call, server_id: str) -> SimulatedServer:
    """A server that the caller may see, up to date. Raises `Refused` 404, for another project's too."""
    server = call.region.servers.get(server_id)
    if server is not None:
        settle_server(call.state, call.region, server, call.now)
    if (
        server is None
        or server.is_deleted
        or not (call.token.is_admin or server.project_id == call.token.project_id)
    ):
        raise not_found(f"Instance {server_id} could not be found.")
    return server


def list_servers(call: Call) -> Answer:
    """Ids, names and links."""
    servers, links = _page(call, "servers")
    found = [
        {"id": s.id, "name": s.name, "links": [{"rel": "self", "href": f"{call.base}/servers/{s.id}"}]}
        for s in servers
    ]
    return Answer(200, {"servers": found, **({"servers_links": links} if links else {})})


def list_servers_in_detail(call: Call) -> Answer:
    """Everything. The text is joined from the servers' kept texts."""
    servers, links = _page(call, "servers/detail")
    old = call.microversion < (2, 47)
    text = ", ".join([server.json_text(call.base, plain_old=old) for server in servers])
    import json  # noqa: PLC0415

    tail = f', "servers_links": {json.dumps(links)}' if links else ""
    return Answer(200, f'{{"servers": [{text}]{tail}}}'.encode())


def show_server(call: Call, server_id: str) -> Answer:
    """One server."""
    server = find(call, server_id)
    if server.task_state == "scheduling":
        # So Nova has it until a host has the server: what is asked for is "updated" at each look.
        server.updated, server.text = call.now, None
    text = server.json_text(call.base, plain_old=call.microversion < (2, 47))
    return Answer(200, f'{{"server": {text}}}'.encode())


def _page(  # noqa: C901 - one loop over 10,000 servers; calls in it would cost more than they tell.
    call: Call, path: str
) -> tuple[list[SimulatedServer], list[Thing]]:
    wanted = _filters(call)
    limit = min(wanted.pop("limit", _MAX_PAGE), _MAX_PAGE)
    marker = wanted.pop("marker", None)
    everybody = wanted.pop("all", False)
    since = wanted.pop("since", None)
    order, places = call.region.newest_first()
    start = 0
    if marker is not None:
        if marker not in places:
            raise bad_request(f"marker [{marker}] not found")
        start = places[marker] + 1
    project_id, now = call.token.project_id, call.now
    found: list[SimulatedServer] = []
    if limit == 0:
        return [], []
    for place in range(start, len(order)):
        server = order[place]
        if server.project_id != project_id and not everybody:
            continue
        if server.plan:
            settle_server(call.state, call.region, server, now)
        if since is None:
            # Nova hides those that it keeps for a while, too; with changes-since it shows them.
            if server.is_deleted or server.vm_state == "soft-delete":
                continue
        elif server.updated < since:
            continue
        if wanted and not _matches(server, wanted):
            continue
        found.append(server)
        if len(found) == limit:
            break
    links = []
    if len(found) == limit:
        kept = "&".join(p for p in call.request.query_text.split("&") if p and not p.startswith("marker="))
        links = [{"rel": "next", "href": f"{call.base}/{path}?{kept}&marker={found[-1].id}"}]
    return found, links


def _filters(call: Call) -> dict[str, Any]:  # noqa: C901 - one branch a parameter.
    wanted: dict[str, Any] = {}
    for name, value in call.query():
        if name == "limit":
            if not re.fullmatch(r"[0-9]*", value):
                raise bad_request(
                    f"Invalid input for query parameters limit. Value: {value}. '{value}' does not match '^[0-9]*$'"
                )
            wanted["limit"] = int(value or 0)
        elif name == "marker":
            wanted["marker"] = value
        elif name == "changes-since":
            wanted["since"] = _moment(value)
        elif name in {"all_tenants", "all_projects"}:
            if value.lower() not in {"0", "false", ""}:
                call.need_admin("os_compute_api:servers:detail:get_all_tenants")
                wanted["all"] = True
        elif name == "status":
            # A word that Nova does not know is refused only when it is the only one.
            wanted.setdefault("status", set()).add(value.upper())
        elif name in {"tags", "tags-any", "not-tags"}:
            wanted[name] = set(value.split(","))
        elif name in {"name", "flavor", "image", "uuid", "host", "project_id"}:
            wanted[name] = value
        elif (
            not name.startswith("_")
            and call.microversion >= (2, 75)
            and name not in {"sort_key", "sort_dir", "deleted"}
        ):
            raise bad_request(f"'{name}' does not match any of the regexes: '^_'")
    if "status" in wanted and not wanted["status"] & _STATUSES:
        raise bad_request("Invalid status value")
    return wanted


def _moment(value: str) -> float:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise bad_request(
            f"Invalid input for query parameters changes-since. Value: {value}. '{value}' is not a 'date-time'"
        ) from None
    # Databases keep whole seconds.
    return float(int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()))


def _matches(server: SimulatedServer, wanted: dict[str, Any]) -> bool:
    tags = set(server.tags)
    return (
        ("status" not in wanted or server.status in wanted["status"])
        and ("tags" not in wanted or wanted["tags"] <= tags)
        and ("tags-any" not in wanted or bool(wanted["tags-any"] & tags))
        and ("not-tags" not in wanted or not wanted["not-tags"] <= tags)
        and ("name" not in wanted or re.search(wanted["name"], server.name) is not None)
        and ("flavor" not in wanted or server.flavor["id"] == wanted["flavor"])
        and ("image" not in wanted or server.image_id == wanted["image"])
        and ("uuid" not in wanted or server.id == wanted["uuid"])
        and ("project_id" not in wanted or server.project_id == wanted["project_id"])
    )


def create_server(call: Call) -> Answer:  # noqa: C901 - one refusal after the other, in Nova's order.
    """Accept a server, or refuse in Nova's words."""
    call.action = "create"
    wanted = inner(call.request.json(), "server")
    state, region = call.state, call.region
    name: Any = wanted.get("name")
    nova_tags.check_name(name)
    flavor = region.flavors.get(str(wanted.get("flavorRef")))
    if call.microversion >= (2, 37) and "networks" not in wanted:
        raise bad_request(
            f"Invalid input for field/attribute server. Value: {wanted}. 'networks' is a required property"
        )
    if flavor is None:
        raise bad_request(f"Flavor {wanted.get('flavorRef')} could not be found.")
    if "tags" in wanted and call.microversion < (2, 52):
        raise bad_request("Additional properties are not allowed ('tags' was unexpected)")
    tags = nova_tags.checked_tags(wanted.get("tags") or [])
    image_id = wanted.get("imageRef") or None
    image = None if image_id is None else nova_images.bootable_image(call, str(image_id))
    zone = wanted.get("availability_zone") or next(
        (name for name, is_up in region.zones.items() if is_up), ""
    )
    if not region.zones.get(zone):
        raise bad_request("The requested availability zone is not available")
    metadata = nova_tags.checked_metadata(call, wanted.get("metadata") or {})
    networks = _networks(call, wanted.get("networks"))
    volumes = _boot_volumes(call, wanted)
    if image is None and not volumes:
        raise bad_request("Missing imageRef attribute")
    disks = nova_images.disks_of(image) if image is not None else []
    for attached in volumes:
        if attached["root"]:
            nova_images.check_volume_fits(region.volumes[attached["id"]], flavor)
    if image is not None and not any(attached["root"] for attached in volumes):
        root = next((disk for disk in disks if disk["boot_index"] == 0), None)
        nova_images.check_fits(image, flavor, volume_gb=root["volume_size"] if root else None)
    if wanted.get("key_name") and f"{call.token.user_id} {wanted['key_name']}" not in region.keypairs:
        raise bad_request("Invalid key_name provided.")
    groups = nova_others.groups_named(call, wanted.get("security_groups"))
    check_server_quota(call, flavor)
    volumes += nova_images.volumes_from(call, disks)
    now = call.now
    server = SimulatedServer(
        id=state.new_id(),
        name=name,
        project_id=call.token.project_id or "",
        user_id=call.token.user_id,
        flavor=embedded(flavor),
        image_id=image_id,
        created=now,
        updated=now,
        tags=tags,
        metadata=metadata,
        zone=zone,
        image_meta=nova_images.image_meta(image, flavor),
        key_name=wanted.get("key_name"),
        volumes=volumes,
        description=wanted.get("description"),
        group_names=[group["name"] for group in groups] or ["default"],
        group_ids=[group["id"] for group in groups] or None,
    )
    nova_steps.record(call, server, "create")
    for attached in volumes:
        region.volumes[attached["id"]].update({"status": "reserved", "_server": server.id})
    build_plan(state, region, server, networks, now)
    region.add_server(server)
    state.dirty = True
    call.did("create", server.id)
    body = {
        "id": server.id,
        "links": [{"rel": "self", "href": f"{call.base}/servers/{server.id}"}],
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [{"name": name} for name in server.group_names],
        "adminPass": state.new_hex()[:12],
    }
    return Answer(202, {"server": body}, {"Location": f"{call.base}/servers/{server.id}"})


def embedded(flavor: Thing) -> Thing:
    """A flavor as a server carries it."""
    return {
        "id": flavor["id"], "vcpus": flavor["vcpus"], "ram": flavor["ram"], "disk": flavor["disk"], "ephemeral": 0,
        "swap": 0, "original_name": flavor["name"], "extra_specs": {},
    }  # fmt: skip


def check_server_quota(call: Call, flavor: Thing, *, instead_of: Thing | None = None) -> None:
    """Refuse with 403 and the figures when the project's quota does not allow one more server of this flavor.

    With the flavor of a server that is resized, only what it gains counts.
    """
    region, project_id = call.region, call.token.project_id or ""
    limits = region.quotas.get(project_id)
    if not limits:
        return
    settle_servers(call.state, region, call.now)
    servers = [s for s in region.servers.values() if s.project_id == project_id and not s.is_deleted]
    before = instead_of or {"vcpus": 0, "ram": 0}
    for resource, wanted, used in (
        ("instances", 0 if instead_of else 1, len(servers)),
        ("cores", flavor["vcpus"] - before["vcpus"], sum(s.flavor["vcpus"] for s in servers)),
        ("ram", flavor["ram"] - before["ram"], sum(s.flavor["ram"] for s in servers)),
    ):
        limit = call.state.quota(region, project_id, resource)
        if wanted <= 0:
            continue
        if limit >= 0 and used + wanted > limit:
            raise forbidden(
                f"Quota exceeded for {resource}: Requested {wanted}, but already used {used} of {limit} {resource}"
            )


def _boot_volumes(call: Call, wanted: Thing) -> list[Thing]:
    found: list[Thing] = []
    for mapping in wanted.get("block_device_mapping_v2") or ():
        if mapping.get("source_type") != "volume":
            continue
        volume = call.region.volumes.get(mapping.get("uuid"))
        if volume is not None:
            settle_volume(call.state, call.region, volume, call.now)
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
                "device": nova_volumes.next_device(found, is_volume_booted=wanted.get("imageRef") is None),
                "root": mapping.get("boot_index") == 0,
            }
        )
    return found


def _networks(call: Call, wanted: object) -> list[Thing]:
    visible = [
        n
        for n in call.region.networks.values()
        if n["shared"] or n["project_id"] == call.token.project_id or call.token.is_admin
    ]
    if wanted == "none":
        return []
    if wanted in (None, "auto"):
        return [n for n in visible if not n["router:external"]][:1]
    if not isinstance(wanted, list):
        raise bad_request("Invalid input for field/attribute networks.")
    found = []
    for entry in wanted:
        network = next((n for n in visible if n["id"] == entry.get("uuid")), None)
        if network is None:
            raise bad_request(f"Network {entry.get('uuid')} could not be found.")
        if not network["subnets"]:
            raise bad_request(f"Network {network['id']} requires a subnet in order to boot instances on.")
        found.append(network)
    return found


def update_server(call: Call, server_id: str) -> Answer:
    """Rename or describe."""
    call.action, call.object_id = "update_server", server_id
    wanted = inner(call.request.json(), "server")
    if "name" in wanted:
        nova_tags.check_name(wanted["name"])
    server = find(call, server_id)
    server.name = wanted.get("name", server.name)
    server.description = wanted.get("description", server.description)
    server.updated = call.now
    server.text = None
    call.state.dirty = True
    call.did("update_server", server_id)
    return show_server(call, server_id)


def delete_server(call: Call, server_id: str) -> Answer:
    """Accept the end of a server; a second time too, while it is going."""
    call.action, call.object_id = "delete", server_id
    server = find(call, server_id)
    if call.state.soft_delete and server.launched is not None:
        nova_steps.begin_soft_delete(call, server)
    elif server.task_state != "deleting" or not server.plan:
        # A deletion that was lost is begun anew where no host has the server.
        nova_steps.begin_delete(call, server)
    call.did("delete", server_id)
    return Answer(204)


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
        *nova_others.TABLE,
        *nova_tags.TABLE,
        *nova_volumes.TABLE,
    ]
)

__all__ = [
    "MAX_VERSION",
    "ROUTES",
    "check_server_quota",
    "embedded",
    "find",
    "plain",
    "version_document",
    "zulu",
]
