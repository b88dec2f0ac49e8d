"""Nova: the request for a new server."""

from __future__ import annotations

import binascii
import ipaddress
from base64 import b64decode
from typing import Any

from . import (
    nova_flavors,
    nova_history,
    nova_images,
    nova_interfaces,
    nova_quotas,
    nova_server_groups,
    nova_tags,
    nova_volumes,
)
from .calls import Call
from .http_messages import Response, bad_request, unwrap
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_volume, schedule_build

_MAX_USER_DATA = 65535


def create_server(call: Call) -> Response:  # noqa: C901 - one refusal after the other, in Nova's order.
    """Accept a new server. Raises `HttpError` in Nova's words and order."""
    call.action = "create"
    body = call.request.json()
    requested = unwrap(body, "server")
    state, region = call.state, call.region
    name: Any = requested.get("name")
    nova_tags.check_name(name)
    user_data = parse_user_data(requested.get("user_data"))
    password = parse_password(requested)
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
    check_key_name(call, requested.get("key_name"))
    groups = nova_interfaces.select_security_groups(call, requested.get("security_groups"))
    group = nova_server_groups.select_group(call, body)
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
        group_names=[found["name"] for found in groups] or ["default"],
        group_ids=[found["id"] for found in groups] or None,
        group_id=group["id"] if group else None,
        config_drive=str(requested.get("config_drive", "")).lower() in {"true", "1", "yes"},
        user_data=user_data,
        admin_password=password,
    )
    nova_history.record_action(call, server, "create")
    for attached in volumes:
        region.volumes[attached["id"]].update({"status": "reserved", "_server": server.id})
    if group is not None:
        group["members"] = [*group["members"], server.id]
    region.add_server(server)
    schedule_build(state, region, server, networks, now)
    state.dirty = True
    call.record_accepted("create", server.id)
    answer = {
        "id": server.id,
        "links": [{"rel": "self", "href": f"{call.base}/servers/{server.id}"}],
        "OS-DCF:diskConfig": "MANUAL",
        "security_groups": [{"name": name} for name in server.group_names],
        "adminPass": password or state.new_hex()[:12],
    }
    return Response(202, {"server": answer}, {"Location": f"{call.base}/servers/{server.id}"})


def parse_user_data(value: Any) -> str | None:
    """Return user data in base64. Raises `HttpError` 400 in the words of Nova's schemas, which repeat the value."""
    if value is None:
        return None
    start = f"Invalid input for field/attribute user_data. Value: {value}. {value!r}"
    if not isinstance(value, str):
        raise bad_request(f"{start} is not of type 'string', 'null'")
    if len(value) > _MAX_USER_DATA:
        raise bad_request(f"{start} is too long")
    try:
        b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request(f"{start} is not a 'base64'") from None
    return value


def parse_password(requested: Resource) -> str | None:
    """Return the requested password, or None. Raises `HttpError` 400, which repeats the value."""
    password = requested.get("adminPass")
    if password is not None and not isinstance(password, str):
        raise bad_request(
            f"Invalid input for field/attribute adminPass. Value: {password}. {password!r} is not of type 'string'"
        )
    return password


def check_key_name(call: Call, key_name: Any) -> None:
    """Raise `HttpError` 400 for a key pair that the caller does not have."""
    if key_name and f"{call.token.user_id} {key_name}" not in call.region.keypairs:
        raise bad_request("Invalid key_name provided.")


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
    """Return the network of each interface, and its requested address. Existing ports are not simulated."""
    visible = {
        n["id"]: n
        for n in call.region.networks.values()
        if n["shared"]
        or n["router:external"]
        or n["project_id"] == call.token.project_id
        or call.token.is_admin
    }
    if requested == "none":
        return []
    if requested in (None, "auto"):
        found = [n for n in visible.values() if not n["router:external"]][:1]
        return [{"network": network, "fixed_ip": None} for network in found]
    if not isinstance(requested, list):
        raise _refuse_networks(requested)
    for entry in requested:
        if (fixed_ip := entry.get("fixed_ip")) is not None and not _is_address(fixed_ip):
            raise _refuse_networks(requested)
    return [_select_interface(call, visible, entry) for entry in requested]


def _refuse_networks(requested: object) -> Exception:
    return bad_request(
        f"Invalid input for field/attribute networks. Value: {requested}. {requested!r} is not valid under any of the given schemas"
    )


def _is_address(value: object) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return True


def _select_interface(call: Call, visible: dict[str, Resource], entry: Resource) -> Resource:
    network = visible.get(str(entry.get("uuid")))
    if network is None:
        raise bad_request(f"Network {entry.get('uuid')} could not be found.")
    if not network["subnets"]:
        raise bad_request(f"Network {network['id']} requires a subnet in order to boot instances on.")
    fixed_ip = entry.get("fixed_ip")
    if fixed_ip is not None:
        fixed_ip = str(ipaddress.ip_address(fixed_ip))
        owner = nova_interfaces.find_address_user(call, network, fixed_ip)
        if owner is not None:
            raise bad_request(f"Fixed IP address {fixed_ip} is already in use on instance {owner}.")
    return {"network": network, "fixed_ip": fixed_ip}
