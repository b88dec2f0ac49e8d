"""Nova: volume attachments of servers."""

from __future__ import annotations

from collections.abc import Callable

from .calls import Call
from .http_messages import Response, bad_request, conflict, not_found, unwrap
from .nova_history import record_action
from .nova_lookup import check_lock, find_server
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server, advance_volume, reserve_volume, schedule_detachment

_STATES = {"active", "paused", "stopped", "resized", "soft-delete", "shelved", "shelved_offloaded"}


def list_attachments(call: Call, server_id: str) -> Response:
    """List a server's volume attachments."""
    server = find_server(call, server_id)
    return Response(
        200, {"volumeAttachments": [_serialize_attachment(call, server, v) for v in server.volumes]}
    )


def show_attachment(call: Call, server_id: str, volume_id: str) -> Response:
    """Show one volume attachment."""
    server = find_server(call, server_id)
    return Response(
        200, {"volumeAttachment": _serialize_attachment(call, server, _find_attached(server, volume_id))}
    )


def _find_attached(server: SimulatedServer, volume_id: str) -> Resource:
    found = next((v for v in server.volumes if v["id"] == volume_id), None)
    if found is None:
        raise not_found(f"Instance {server.id} is not attached to volume {volume_id}")
    return found


def _serialize_attachment(call: Call, server: SimulatedServer, volume: Resource) -> Resource:
    shown: Resource = {
        "id": volume["id"], "volumeId": volume["id"], "serverId": server.id, "device": volume["device"],
    }  # fmt: skip
    if call.microversion >= (2, 70):
        shown["tag"] = None
    if call.microversion >= (2, 79):
        shown["delete_on_termination"] = volume["delete_on_termination"]
    return shown


def _check_state(server: SimulatedServer, action: str) -> None:
    start = f"Cannot '{action}' instance {server.id} while it is in"
    if server.vm_state not in _STATES or server.task_state == "deleting":
        raise conflict(f"{start} vm_state {server.vm_state}")
    if server.task_state is not None:
        raise conflict(f"{start} task_state {server.task_state}")


def _find_volume(call: Call, volume_id: str) -> Resource:
    found = call.region.volumes.get(volume_id)
    if found is not None:
        advance_volume(call.state, call.region, found, call.now)
        found = call.region.volumes.get(volume_id)
    if found is None or found["os-vol-tenant-attr:tenant_id"] != call.token.project_id:
        raise not_found(f"Volume {volume_id} could not be found.")
    return found


def attach_volume(call: Call, server_id: str) -> Response:
    """Attach a volume, which is `reserved` first and then `in-use`."""
    call.action, call.object_id = "attach_volume", server_id
    requested = unwrap(call.request.json(), "volumeAttachment")
    server = find_server(call, server_id)
    volume = _find_volume(call, str(requested.get("volumeId")))
    check_lock(call, server)
    _check_state(server, "attach_volume")
    owner = volume.get("_server") or next((a["server_id"] for a in volume["attachments"]), None)
    if owner is not None:
        raise bad_request(f"Invalid volume: volume {volume['id']} is already attached to instances: {owner}")
    if volume["status"] != "available":
        raise bad_request(
            f"Invalid volume: Invalid input received: Invalid volume: Volume {volume['id']} status must be available or "
            f"downloading to reserve, but the current status is {volume['status']}. (HTTP 400)"
        )
    attached = {
        "id": volume["id"],
        "delete_on_termination": bool(requested.get("delete_on_termination")),
        "device": requested.get("device")
        or next_device_name(server.volumes, is_volume_booted=server.is_volume_booted),
    }
    record_action(call, server, "attach_volume")
    reserve_volume(call.state, call.region, server, attached, call.now)
    _mark_changed(call, server)
    call.record_accepted("attach_volume", server_id)
    return Response(200, {"volumeAttachment": _serialize_attachment(call, server, attached)})


def next_device_name(volumes: list[Resource], *, is_volume_booted: bool) -> str:
    """Return the first free device name. The root disk is /dev/vda, whether it is a volume or not."""
    taken = {volume["device"] for volume in volumes} | (set() if is_volume_booted else {"/dev/vda"})
    letters = "abcdefghijklmnopqrstuvwxyz"
    return next(name for name in (f"/dev/vd{letter}" for letter in letters) if name not in taken)


def detach_volume(call: Call, server_id: str, volume_id: str) -> Response:
    """Start the detachment of a volume, which stays attached until it has ended."""
    call.action, call.object_id = "detach_volume", server_id
    server = find_server(call, server_id)
    volume = _find_volume(call, volume_id)
    attached = _find_attached(server, volume_id)
    if attached.get("root"):
        # As Zed does; older releases answer 403 with the same message.
        raise bad_request("Cannot detach a root device volume")
    check_lock(call, server)
    _check_state(server, "detach_volume")
    is_off_host = server.vm_state == "shelved_offloaded"
    if volume["status"] != "in-use" and not (is_off_host and volume["status"] == "reserved"):
        raise bad_request(
            "Invalid volume: Invalid input received: Invalid volume: Unable to detach volume. Volume status must be "
            "'in-use' and attach_status must be 'attached' to detach. (HTTP 400)"
        )
    record_action(call, server, "detach_volume")
    volume["status"] = "detaching"
    schedule_detachment(server, volume_id, call.now + (0 if is_off_host else call.state.clock.action_seconds))
    _mark_changed(call, server)
    advance_server(call.state, call.region, server, call.now)
    call.record_accepted("detach_volume", server_id)
    return Response(202)


def _mark_changed(call: Call, server: SimulatedServer) -> None:
    # Not `updated`: Nova's listing with changes-since shows no attachment and no detachment.
    server.text = None
    call.state.dirty = True


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/os-volume_attachments", list_attachments),
    ("POST", "/servers/<server_id>/os-volume_attachments", attach_volume),
    ("GET", "/servers/<server_id>/os-volume_attachments/<volume_id>", show_attachment),
    ("DELETE", "/servers/<server_id>/os-volume_attachments/<volume_id>", detach_volume),
]
