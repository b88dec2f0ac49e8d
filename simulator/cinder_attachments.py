"""Cinder: attachments as resources of their own, derived from the volumes, one for each server."""

from __future__ import annotations

from collections.abc import Callable
from uuid import NAMESPACE_OID, uuid5

from .calls import Call
from .cinder_lookup import VOLUME_OWNER
from .http_messages import Response, conflict, not_found
from .pagination import paginate
from .state import Resource
from .transitions import advance_volumes


def list_attachments(call: Call) -> Response:
    """List the project's attachments, or one volume's with `volume_id`. Both forms have all fields that clients need."""
    requested = dict(call.query()).get("volume_id")
    found = [
        one
        for volume in _list_own_volumes(call)
        if requested in {None, volume["id"]}
        for one in _build_attachments(volume)
    ]
    return paginate(call, "attachments", found, path="attachments/detail")


def _list_own_volumes(call: Call) -> list[Resource]:
    advance_volumes(call.state, call.region, call.now)
    owned = call.region.volumes.values()
    return [volume for volume in owned if volume[VOLUME_OWNER] == call.token.project_id]


def _build_attachments(volume: Resource) -> list[Resource]:
    used = [attached["server_id"] for attached in volume["attachments"]]
    kept = [volume["_server"]] if volume.get("_server") and not used else []
    message = {"in-use": "attached", "detaching": "detaching"}
    return [
        {
            "id": str(uuid5(NAMESPACE_OID, f"{volume['id']} {server_id}")),
            "volume_id": volume["id"],
            "instance": server_id,
            "status": message.get(volume["status"], volume["status"]) if server_id in used else "reserved",
            "attach_mode": "rw",
        }
        for server_id in [*used, *kept]
    ]


def delete_attachment(call: Call, attachment_id: str) -> Response:
    """Delete an attachment. Raises `HttpError` 409 while Nova attaches the volume to its server, as since CVE-2023-2088."""
    for volume in _list_own_volumes(call):
        found = next((one for one in _build_attachments(volume) if one["id"] == attachment_id), None)
        if found is None:
            continue
        server = call.region.servers.get(found["instance"])
        has_it = server is not None and any(attached["id"] == volume["id"] for attached in server.volumes)
        if found["status"] != "reserved" and has_it:
            raise conflict(f"Detach volume from instance {found['instance']} using the Compute API")
        volume.pop("_server", None)
        volume.pop("_plan", None)
        volume.update({"attachments": [], "status": "available"})
        call.state.dirty = True
        call.record_accepted("delete_attachment", volume["id"])
        return Response(200, {"attachments": []})
    raise not_found(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/attachments", list_attachments),
    ("GET", "/attachments/detail", list_attachments),
    ("DELETE", "/attachments/<attachment_id>", delete_attachment),
]
