"""Nova: images that servers are made from, and that are made from servers."""

from __future__ import annotations

import json

from .clock import plain, zulu
from .exchange import Call, bad_request
from .moves import settle_images
from .nova_volumes import next_device
from .server import SimulatedServer
from .standard_content import new_volume
from .state import Thing

_GIB = 2**30
# What an image hands on to servers, and they to the images made of them.
_HANDED_ON = ("os_type", "os_distro", "os_version", "min_ram")


def bootable_image(call: Call, image_id: str) -> Thing:
    """An image that a server may be made from now. Raises `Refused` 400 in Nova's words."""
    settle_images(call.region, call.now)
    image = call.region.images.get(image_id)
    if image is None or not (
        call.token.is_admin or image["visibility"] == "public" or image["owner"] == call.token.project_id
    ):
        raise bad_request("Can not find requested image")
    if image["status"] != "active":
        raise bad_request(f"Image {image_id} is not active.")
    return image


def check_fits(image: Thing, flavor: Thing, *, volume_gb: int | None) -> None:
    """Whether a flavor, or the volume that is booted from, is large enough. Raises `Refused` 400 in Nova's words."""
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


def check_volume_fits(volume: Thing, flavor: Thing) -> None:
    """The same of a volume that was made from an image. Raises `Refused` 400."""
    known = volume.get("volume_image_metadata") or {}
    least = {name: int(known.get(name) or 0) for name in ("min_ram", "min_disk")}
    check_fits(least, flavor, volume_gb=volume["size"])


def image_meta(image: Thing | None, flavor: Thing) -> Thing:
    """What a server keeps of its image. Its flavor's disk becomes the least that an image made of it needs."""
    kept = {name: image[name] for name in _HANDED_ON if image and image.get(name)}
    return {**kept, "min_disk": max(flavor["disk"], (image or {}).get("min_disk") or 0)}


def disks_of(image: Thing) -> list[Thing]:
    """The snapshots that an image of a volume-booted server stands for."""
    text = image.get("block_device_mapping")
    return json.loads(text) if isinstance(text, str) else []


def volumes_from(call: Call, disks: list[Thing]) -> list[Thing]:
    """New volumes of snapshots, without a name and without metadata, which outlive the server unless told otherwise."""
    found: list[Thing] = []
    for disk in disks:
        snapshot = call.region.snapshots.get(disk["snapshot_id"])
        if snapshot is None:
            raise bad_request(
                f"Block Device Mapping is Invalid: failed to get snapshot {disk['snapshot_id']}."
            )
        volume = new_volume(
            call.state.new_id(), "", snapshot["size"], call.token.project_id or "", plain(call.now)
        )
        volume.update({"snapshot_id": snapshot["id"], "bootable": "true", "user_id": call.token.user_id})
        call.region.volumes[volume["id"]] = volume
        found.append(
            {
                "id": volume["id"],
                "delete_on_termination": bool(disk["delete_on_termination"]),
                "device": next_device(found, is_volume_booted=True),
                "root": disk["boot_index"] == 0,
            }
        )
    return found


def image_of(call: Call, server: SimulatedServer, name: str, metadata: dict[str, str]) -> Thing:
    """The record of a new image of a server, `queued`, and not kept yet."""
    image_id, now = call.state.new_id(), zulu(call.now)
    source = call.region.images.get(server.image_id or "")
    return {
        **(server.image_meta or image_meta(source, server.flavor)),
        "base_image_ref": server.image_id or "", "owner_project_name": call.token.project_name,
        "owner_user_name": call.token.user_name, "boot_roles": ",".join(call.token.roles), **metadata,
        "id": image_id, "name": name, "status": "queued", "visibility": "private", "owner": server.project_id,
        "size": None, "virtual_size": None, "disk_format": None, "container_format": None, "protected": False,
        "os_hidden": False, "checksum": None, "tags": [], "created_at": now, "updated_at": now,
        "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file", "schema": "/v2/schemas/image",
    }  # fmt: skip


def keep_disk_image(call: Call, server: SimulatedServer, image: Thing) -> None:
    """The image of a server with a disk of its own: `saving` when the disk is read, `active` when all of it is there."""
    seconds = call.state.clock.action_seconds
    image.setdefault("min_ram", 0)
    image.update({"instance_uuid": server.id, "user_id": call.token.user_id, "image_type": "snapshot"})
    formats = {"disk_format": "raw", "container_format": "bare"}
    image["_plan"] = [
        [call.now + seconds * 0.5, {"status": "saving", **formats}],
        [call.now + seconds, {"status": "active", "size": 704, "virtual_size": server.flavor["disk"] * _GIB}],
    ]
    call.region.images[image["id"]] = image


def keep_volume_image(call: Call, server: SimulatedServer, image: Thing) -> None:
    """The image of a volume-booted server: empty, active at once, and pointing at a snapshot of each of its volumes.

    Nova does not write on it which server it was made of.
    """
    image.setdefault("min_ram", 0)
    disks = []
    for attached in server.volumes:
        volume = call.region.volumes.get(attached["id"])
        if volume is None:
            continue
        snapshot_id = call.state.new_id()
        call.region.snapshots[snapshot_id] = {
            "id": snapshot_id, "created_at": plain(call.now), "updated_at": None,
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
