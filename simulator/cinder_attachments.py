"""Cinder: attachments as objects of their own. They are worked out from the volumes, one for each server."""

from __future__ import annotations

from collections.abc import Callable
from uuid import NAMESPACE_OID, uuid5

from .cinder_things import VOLUME_OWNER
from .exchange import Answer, Call, conflict, not_found
from .listing import paged
from .moves import settle_volumes
from .state import Thing


def list_attachments(call: Call) -> Answer:
    """Those of the project; with `volume_id`, of one volume. In detail or not, all that clients need is there."""
    wanted = dict(call.query()).get("volume_id")
    found = [one for volume in _volumes(call) if wanted in {None, volume["id"]} for one in _of(volume)]
    return paged(call, "attachments", found, path="attachments/detail")


def _volumes(call: Call) -> list[Thing]:
    settle_volumes(call.state, call.region, call.now)
    owned = call.region.volumes.values()
    return [volume for volume in owned if volume[VOLUME_OWNER] == call.token.project_id]


def _of(volume: Thing) -> list[Thing]:
    used = [attached["server_id"] for attached in volume["attachments"]]
    kept = [volume["_server"]] if volume.get("_server") and not used else []
    words = {"in-use": "attached", "detaching": "detaching"}
    return [
        {
            "id": str(uuid5(NAMESPACE_OID, f"{volume['id']} {server_id}")),
            "volume_id": volume["id"],
            "instance": server_id,
            "status": words.get(volume["status"], volume["status"]) if server_id in used else "reserved",
            "attach_mode": "rw",
        }
        for server_id in [*used, *kept]
    ]


def delete_attachment(call: Call, attachment_id: str) -> Answer:
    """Refused while the server has the volume by Nova, as since CVE-2023-2088."""
    for volume in _volumes(call):
        found = next((one for one in _of(volume) if one["id"] == attachment_id), None)
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
        call.did("delete_attachment", volume["id"])
        return Answer(200, {"attachments": []})
    raise not_found(f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.")


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/attachments", list_attachments),
    ("GET", "/attachments/detail", list_attachments),
    ("DELETE", "/attachments/<attachment_id>", delete_attachment),
]
