"""Nova: images that servers boot from, and images created from servers."""

from __future__ import annotations

import json

from .calls import Call
from .clock import format_naive, format_zulu
from .http_messages import bad_request
from .nova_volumes import next_device_name
from .server import SimulatedServer
from .standard_content import build_volume
from .state import Resource
from .transitions import advance_images

_GIB = 2**30
# The properties that a server copies from its image, and an image from its server.
_INHERITED_PROPERTIES = ("os_type", "os_distro", "os_version", "min_ram")


def find_bootable_image(call: Call, image_id: str) -> Resource:
    """Return an active image that the caller may boot. Raises `HttpError` 400 in Nova's words."""
    advance_images(call.region, call.now)
    image = call.region.images.get(image_id)
    if image is None or not (
        call.token.is_admin or image["visibility"] == "public" or image["owner"] == call.token.project_id
    ):
        raise bad_request("Can not find requested image")
    if image["status"] != "active":
        raise bad_request(f"Image {image_id} is not active.")
    return image


def check_flavor_fits(image: Resource, flavor: Resource, *, volume_gb: int | None) -> None:
    """Raise `HttpError` 400 in Nova's words when the flavor, or the boot volume, is too small for the image."""
    if flavor["ram"] < (image.get("min_ram") or 0):
        raise bad_request("Flavor's memory is too small for requested image.")
    least = (image.get("min_disk") or 0) * _GIB
    if volume_gb is not None:
        if volume_gb * _GIB < least:
            raise bad_request(
                "Volume is smaller than the minimum size specified in image metadata. Volume size is "
                f"{volume_gb * _GIB} bytes, minimum size is {least} bytes."
            )
    elif flavor["disk"] * _GIB < least:
        raise bad_request(
            "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
            f"{flavor['disk'] * _GIB} bytes, minimum size is {least} bytes."
        )


def check_volume_fits(volume: Resource, flavor: Resource) -> None:
    """Raise `HttpError` 400 when the flavor is too small for a volume that was created from an image."""
    known = volume.get("volume_image_metadata") or {}
    least = {name: int(known.get(name) or 0) for name in ("min_ram", "min_disk")}
    check_flavor_fits(least, flavor, volume_gb=volume["size"])


def build_image_meta(image: Resource | None, flavor: Resource) -> Resource:
    """Return the image properties that a server keeps. Its flavor's disk is the minimum disk of images created from it."""
    kept = {name: image[name] for name in _INHERITED_PROPERTIES if image and image.get(name)}
    return {**kept, "min_disk": max(flavor["disk"], (image or {}).get("min_disk") or 0)}


def parse_block_devices(image: Resource) -> list[Resource]:
    """Return the snapshots that the image of a volume-booted server references."""
    text = image.get("block_device_mapping")
    return json.loads(text) if isinstance(text, str) else []


def create_boot_volumes(call: Call, disks: list[Resource]) -> list[Resource]:
    """Create volumes from an image's snapshots, unnamed and without metadata; by default they outlive the server."""
    found: list[Resource] = []
    for disk in disks:
        snapshot = call.region.snapshots.get(disk["snapshot_id"])
        if snapshot is None:
            raise bad_request(
                f"Block Device Mapping is Invalid: failed to get snapshot {disk['snapshot_id']}."
            )
        volume = build_volume(
            call.state.new_id(), "", snapshot["size"], call.token.project_id or "", format_naive(call.now)
        )
        volume.update({"snapshot_id": snapshot["id"], "bootable": "true", "user_id": call.token.user_id})
        call.region.volumes[volume["id"]] = volume
        found.append(
            {
                "id": volume["id"],
                "delete_on_termination": bool(disk["delete_on_termination"]),
                "device": next_device_name(found, is_volume_booted=True),
                "root": disk["boot_index"] == 0,
            }
        )
    return found


def build_image(call: Call, server: SimulatedServer, name: str, metadata: dict[str, str]) -> Resource:
    """Return the record of a new image of a server, `queued` and not stored yet."""
    image_id, now = call.state.new_id(), format_zulu(call.now)
    source = call.region.images.get(server.image_id or "")
    return {
        **(server.image_meta or build_image_meta(source, server.flavor)),
        "base_image_ref": server.image_id or "", "owner_project_name": call.token.project_name,
        "owner_user_name": call.token.user_name, "boot_roles": ",".join(call.token.roles), **metadata,
        "id": image_id, "name": name, "status": "queued", "visibility": "private", "owner": server.project_id,
        "size": None, "virtual_size": None, "disk_format": None, "container_format": None, "protected": False,
        "os_hidden": False, "checksum": None, "tags": [], "created_at": now, "updated_at": now,
        "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
    }  # fmt: skip


def store_disk_image(call: Call, server: SimulatedServer, image: Resource) -> None:
    """Store the image of a server with a local disk: `saving` while the disk is read, then `active`."""
    seconds = call.state.clock.action_seconds
    image.setdefault("min_ram", 0)
    image.update({"instance_uuid": server.id, "user_id": call.token.user_id, "image_type": "snapshot"})
    formats = {"disk_format": "raw", "container_format": "bare"}
    image["_plan"] = [
        [call.now + seconds * 0.5, {"status": "saving", **formats}],
        [call.now + seconds, {"status": "active", "size": 704, "virtual_size": server.flavor["disk"] * _GIB}],
    ]
    call.region.images[image["id"]] = image


def store_volume_image(call: Call, server: SimulatedServer, image: Resource) -> None:
    """Store the image of a volume-booted server: empty, active at once, and referencing a snapshot of each volume.

    Nova does not record on it the server from which it was created.
    """
    image.setdefault("min_ram", 0)
    disks = []
    for attached in server.volumes:
        volume = call.region.volumes.get(attached["id"])
        if volume is None:
            continue
        snapshot_id = call.state.new_id()
        call.region.snapshots[snapshot_id] = {
            "id": snapshot_id, "created_at": format_naive(call.now), "updated_at": None,
            "name": f"snapshot for {image['name']}", "description": None, "volume_id": volume["id"],
            "status": "creating", "size": volume["size"], "metadata": {}, "user_id": call.token.user_id,
            "os-extended-snapshot-attributes:project_id": server.project_id,
            "os-extended-snapshot-attributes:progress": "0%",
            "_plan": [call.now + call.state.clock.volume_seconds, {"status": "available"}],
        }  # fmt: skip
        disks.append(
            {
                "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot_id,
                "boot_index": 0 if attached.get("root") else None, "device_name": attached["device"],
                "volume_size": volume["size"], "delete_on_termination": attached["delete_on_termination"],
                "volume_id": None, "image_id": None, "no_device": None, "tag": None, "volume_type": None,
            }
        )  # fmt: skip
    image.update(
        {
            "status": "active", "size": 0, "disk_format": "qcow2", "container_format": "bare", "bdm_v2": "True",
            "root_device_name": "/dev/vda", "block_device_mapping": json.dumps(disks),
        }
    )  # fmt: skip
    call.region.images[image["id"]] = image
