"""Nova: rescue and rebuild of servers."""

from __future__ import annotations

from typing import Any

from .calls import Call
from .http_messages import HttpError, bad_request, conflict
from .nova_creation import check_key_name, parse_password, parse_user_data
from .nova_images import build_image_meta, check_flavor_fits, find_bootable_image
from .nova_tags import validate_metadata
from .server import SimulatedServer
from .state import Resource

_VOLUME_RESCUE_SINCE = (2, 87)
_VOLUME_REBUILD_SINCE = (2, 93)

Step = tuple[float, Resource, list[str]]


def check_launched(server: SimulatedServer, action: str) -> None:
    """Raise `HttpError` 409 for a server that no host has ever had."""
    if server.vm_state == "error" and server.launched is None:
        raise conflict(f"Instance {server.id} is in an invalid state for '{action}'")


def check_rescue(call: Call, server: SimulatedServer, argument: Any) -> None:
    """Raise `HttpError` 400 for an image that rescues nothing, or a server that cannot be rescued with it."""
    parse_password(argument or {})
    image_id = (argument or {}).get("rescue_image_ref")
    image = call.region.images.get(server.image_id or "") or {}
    if image_id is not None:
        try:
            image = find_bootable_image(call, str(image_id))
        except HttpError:
            raise bad_request(f"Requested rescue image '{image_id}' is not supported") from None
        if image.get("block_device_mapping"):
            raise bad_request(f"Requested rescue image '{image_id}' is not supported")
    if server.is_volume_booted:
        allowed = call.microversion >= _VOLUME_RESCUE_SINCE
        if not (allowed and image.get("hw_rescue_bus") and image.get("hw_rescue_device")):
            raise bad_request(
                f"Instance {server.id} cannot be rescued: Cannot rescue a volume-backed instance"
            )


def begin_rescue(server: SimulatedServer, argument: Any) -> None:
    """Set the password of the rescue system."""
    server.admin_password = (argument or {}).get("adminPass") or server.admin_password


def check_rebuild(call: Call, server: SimulatedServer, argument: Any) -> None:
    """Raise `HttpError` 400 for what Nova refuses of a rebuild. Nothing is changed yet."""
    if not isinstance(argument, dict) or not argument.get("imageRef"):
        raise bad_request(f"Invalid input for field/attribute rebuild. Value: {argument}.")
    parse_password(argument)
    parse_user_data(argument.get("user_data"))
    check_key_name(call, argument.get("key_name"))
    image_id = str(argument["imageRef"])
    if image_id not in call.region.images:
        raise bad_request("Cannot find image for rebuild")
    image = find_bootable_image(call, image_id)
    validate_metadata(call, argument.get("metadata") or {})
    if not server.is_volume_booted:
        check_flavor_fits(image, server.flavor, volume_gb=None)
        return
    volume = call.region.volumes.get(next((v["id"] for v in server.volumes if v.get("root")), "")) or {}
    own_image = (volume.get("volume_image_metadata") or {}).get("image_id")
    if own_image != image_id and call.microversion < _VOLUME_REBUILD_SINCE:
        raise bad_request(
            f"Image {image_id} is unacceptable: Unable to rebuild with a different image for a volume-backed server."
        )


def begin_rebuild(call: Call, server: SimulatedServer, argument: Resource) -> None:
    """Set at once what a rebuild changes: the image, the key, the user data, the metadata."""
    if not server.is_volume_booted:
        server.image_id = str(argument["imageRef"])
        server.image_meta = build_image_meta(call.region.images[server.image_id], server.flavor)
    if "key_name" in argument:
        server.key_name = argument["key_name"]
    if "user_data" in argument:
        server.user_data = argument["user_data"]
    if "metadata" in argument:
        server.metadata = dict(argument["metadata"])
    server.admin_password = argument.get("adminPass")


def build_rebuild_steps(server: SimulatedServer, changes: Resource) -> tuple[list[Step], Resource]:
    """Return the steps and the last changes. A stopped server is started, and stopped again."""
    steps: list[Step] = [
        (0.3, {"task_state": "rebuild_block_device_mapping"}, []),
        (0.5, {"task_state": "rebuild_spawning"}, []),
    ]
    if server.vm_state != "stopped":
        return steps, changes
    powered: Resource = {"vm_state": "active", "task_state": "powering-off", "power_state": 1, "fault": None}
    return [*steps, (0.8, powered, [])], {**changes, "vm_state": "stopped", "power_state": 4}
