"""Cinder: volumes, snapshots and types."""

from __future__ import annotations

import ast
from operator import itemgetter
from typing import Any

from . import cinder_quotas
from .clock import plain
from .exchange import Answer, Call, Refused, bad_request, inner, not_found
from .listing import paged, shown
from .moves import plan_volume, settle_images, settle_volume, settle_volumes
from .routes import Routes
from .standard_content import new_volume
from .state import Thing

_DELETABLE = {"available", "error", "error_restoring", "error_extending", "error_managing"}
_OWNER = "os-vol-tenant-attr:tenant_id"
_SNAPSHOT_OWNER = "os-extended-snapshot-attributes:project_id"


def version_document(base: str) -> Thing:
    """What a client asks first."""
    return {
        "id": "v3.0", "status": "CURRENT", "version": "3.70", "min_version": "3.0", "updated": "2022-08-31T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }  # fmt: skip


def _volume(call: Call, volume_id: str) -> Thing:
    found = call.region.volumes.get(volume_id)
    if found is not None:
        settle_volume(call.state, call.region, found, call.now)
        found = call.region.volumes.get(volume_id)
    if found is None or not (call.token.is_admin or found[_OWNER] == call.token.project_id):
        raise not_found(f"Volume {volume_id} could not be found.")
    return found


def _snapshot(call: Call, snapshot_id: str) -> Thing:
    found = call.region.snapshots.get(snapshot_id)
    if found is not None:
        settle_volume(call.state, call.region, found, call.now)
        found = call.region.snapshots.get(snapshot_id)
    if found is None or not (call.token.is_admin or found[_SNAPSHOT_OWNER] == call.token.project_id):
        raise not_found(f"Snapshot {snapshot_id} could not be found.")
    return found


def _mine(call: Call, kind: dict[str, Thing], owner: str) -> list[Thing]:
    settle_volumes(call.state, call.region, call.now)
    query = dict(call.query())
    everybody = call.token.is_admin and query.get("all_tenants", "").lower() in {"1", "true"}
    wanted: dict[str, str] = {}
    if "metadata" in query:
        try:
            # Cinder reads a Python literal; JSON of text to text is one.
            wanted = dict(ast.literal_eval(query["metadata"]))
        except (ValueError, SyntaxError, TypeError):
            raise bad_request("Invalid filter metadata") from None
    found = [thing for thing in kind.values() if everybody or thing[owner] == call.token.project_id]
    for name in ("status", "name"):
        if name in query:
            found = [thing for thing in found if thing[name] == query[name]]
    if wanted:
        found = [t for t in found if all(t["metadata"].get(key) == value for key, value in wanted.items())]
    found.sort(key=itemgetter("created_at", "id"), reverse=True)
    return found


def list_volumes(call: Call) -> Answer:
    """Ids and names."""
    things = [
        {"id": v["id"], "name": v["name"], "links": []} for v in _mine(call, call.region.volumes, _OWNER)
    ]
    return paged(call, "volumes", things)


def list_volumes_in_detail(call: Call) -> Answer:
    """Everything, newest first."""
    return paged(call, "volumes", _mine(call, call.region.volumes, _OWNER), path="volumes/detail")


def show_volume(call: Call, volume_id: str) -> Answer:
    """One volume."""
    return Answer(200, {"volume": shown(_volume(call, volume_id))})


def create_volume(call: Call) -> Answer:  # noqa: C901 - one refusal after the other, in Cinder's order.
    """Empty, from a snapshot, from an image, or from another volume."""
    call.action = "create_volume"
    wanted = inner(call.request.json(), "volume")
    state, region = call.state, call.region
    size, snapshot, image_id = wanted.get("size"), None, wanted.get("imageRef")
    if wanted.get("snapshot_id"):
        snapshot = _snapshot(call, wanted["snapshot_id"])
        size = size if size is not None else snapshot["size"]
    elif wanted.get("source_volid"):
        size = size if size is not None else _volume(call, wanted["source_volid"])["size"]
    if size is None:
        raise bad_request(
            "The server could not comply with the request since it is either malformed or otherwise incorrect."
        )
    try:
        size = int(size)
    except (TypeError, ValueError):
        raise bad_request(f"Invalid input for field/attribute size. Value: {size}.") from None
    if size < 1:
        raise bad_request(
            f"Invalid input for field/attribute size. Value: {size}. {size} is less than the minimum of 1"
        )
    if snapshot is not None and size < snapshot["size"]:
        raise bad_request(
            f"Invalid input received: Volume size '{size}'GB cannot be smaller than the snapshot size {snapshot['size']}GB. "
            "They must be >= original snapshot size."
        )
    if image_id is not None:
        _check_image(call, image_id, size)
    kind = wanted.get("volume_type") or "fake"
    if kind not in {t["name"] for t in region.volume_types.values()} | set(region.volume_types):
        raise not_found(f"Volume type with name {kind} could not be found.")
    _check_quota(call, 1, size)
    new = new_volume(
        state.new_id(), wanted.get("name") or "", size, call.token.project_id or "", plain(call.now)
    )
    new["updated_at"] = None
    new["user_id"] = call.token.user_id
    new["volume_type"] = region.volume_types.get(kind, {}).get("name", kind)
    new["description"] = wanted.get("description")
    new["metadata"] = {str(k): str(v) for k, v in (wanted.get("metadata") or {}).items()}
    new["snapshot_id"] = wanted.get("snapshot_id")
    new["source_volid"] = wanted.get("source_volid")
    bootable = "true" if snapshot is not None or image_id is not None else "false"
    source = region.volumes.get(snapshot["volume_id"]) if snapshot is not None else None
    if source is not None:
        bootable = source["bootable"]
        if "volume_image_metadata" in source:
            new["volume_image_metadata"] = source["volume_image_metadata"]
    if image_id is not None:
        image = region.images[image_id]
        # Nova looks here whether a flavor is large enough. All of it is text, as Cinder has it.
        new["volume_image_metadata"] = {
            "image_id": image_id,
            "image_name": str(image["name"]),
            "min_disk": str(image.get("min_disk") or 0),
            "min_ram": str(image.get("min_ram") or 0),
        }
    region.volumes[new["id"]] = new
    answer = Answer(202, {"volume": shown(new)})
    plan_volume(new, call.now + state.clock.volume_seconds, {"status": "available", "bootable": bootable})
    state.dirty = True
    call.did("create_volume", new["id"])
    return answer


def _check_image(call: Call, image_id: str, size: int) -> None:
    settle_images(call.region, call.now)
    image = call.region.images.get(image_id)
    if image is None:
        raise bad_request("Invalid image identifier or unable to access requested image.")
    if image["status"] != "active":
        raise bad_request(f"Invalid image provided: Image {image_id} is not active.")
    least = image.get("min_disk") or 0
    if size < least:
        raise bad_request(
            f"Invalid input received: Volume size {size}GB cannot be smaller than the image minDisk size {least}GB."
        )


def _check_quota(call: Call, volumes: int, gigabytes: int) -> None:
    region, project_id = call.region, call.token.project_id or ""
    if not region.quotas.get(project_id):
        return
    settle_volumes(call.state, region, call.now)
    mine = [v for v in region.volumes.values() if v[_OWNER] == project_id]
    limit = call.state.quota(region, project_id, "volumes")
    if volumes and limit >= 0 and len(mine) + volumes > limit:
        raise _over(
            f"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'."
        )
    limit = call.state.quota(region, project_id, "gigabytes")
    # Snapshots count too, unless the cloud's operator says otherwise (no_snapshot_gb_quota).
    used = sum(v["size"] for v in mine) + sum(
        s["size"] for s in region.snapshots.values() if s[_SNAPSHOT_OWNER] == project_id
    )
    if limit >= 0 and used + gigabytes > limit:
        raise _over(
            f"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
            f"Requested {gigabytes}G, quota is {limit}G and {used}G has been consumed."
        )


def _over(message: str) -> Refused:
    return Refused(
        Answer(413, {"overLimit": {"code": 413, "message": message, "retryAfter": "0"}}, {"Retry-After": "0"})
    )


def update_volume(call: Call, volume_id: str) -> Answer:
    """Rename or describe."""
    volume = _volume(call, volume_id)
    wanted = inner(call.request.json(), "volume")
    for name in ("name", "description", "metadata"):
        if name in wanted:
            volume[name] = wanted[name]
    volume["updated_at"] = plain(call.now)
    call.state.dirty = True
    call.did("update_volume", volume_id)
    return Answer(200, {"volume": shown(volume)})


def delete_volume(call: Call, volume_id: str) -> Answer:
    """Accept the end of a volume that nothing hangs on."""
    call.action, call.object_id = "delete_volume", volume_id
    volume = _volume(call, volume_id)
    has_snapshots = any(s["volume_id"] == volume_id for s in call.region.snapshots.values())
    if volume["status"] not in _DELETABLE or volume["attachments"] or has_snapshots:
        raise bad_request(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
            "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or "
            "be disassociated from snapshots after volume transfer."
        )
    volume["status"] = "deleting"
    plan_volume(volume, call.now + call.state.clock.volume_seconds, None)
    call.state.dirty = True
    call.did("delete_volume", volume_id)
    return Answer(202)


def act(call: Call, volume_id: str) -> Answer:
    """`POST /volumes/<id>/action`."""
    body = call.request.json()
    word = next(iter(body), "")
    call.action, call.object_id = word, volume_id
    volume = _volume(call, volume_id)
    argument: Any = body.get(word) or {}
    if word == "os-extend":
        new_size = argument.get("new_size")
        if not isinstance(new_size, int) or new_size <= volume["size"]:
            raise bad_request(
                "Invalid input received: New size for extend must be greater than current size. "
                f"(current: {volume['size']}, extended: {new_size})."
            )
        if volume["status"] != "available":
            raise bad_request(
                f"Invalid volume: Volume {volume_id} status must be '('available', 'in-use')' to extend."
            )
        _check_quota(call, 0, new_size - volume["size"])
        volume["status"] = "extending"
        plan_volume(
            volume, call.now + call.state.clock.volume_seconds, {"status": "available", "size": new_size}
        )
    elif word == "os-set_bootable":
        volume["bootable"] = "true" if str(argument.get("bootable")).lower() == "true" else "false"
    elif word == "os-reset_status":
        if not call.token.is_admin:
            raise Refused(
                Answer(
                    403,
                    {"forbidden": {"code": 403, "message": "Policy doesn't allow volume_extension:reset."}},
                )
            )
        volume["status"] = argument.get("status", volume["status"])
    elif word not in {"os-reserve", "os-unreserve", "os-begin_detaching", "os-roll_detaching"}:
        raise bad_request(f"There is no such action: {word}")
    call.state.dirty = True
    call.did(word, volume_id)
    return Answer(202)


def change_metadata(call: Call, volume_id: str) -> Answer:
    """GET shows, PUT replaces, POST adds."""
    volume = _volume(call, volume_id)
    if call.request.method != "GET":
        wanted = inner(call.request.json(), "metadata")
        volume["metadata"] = wanted if call.request.method == "PUT" else {**volume["metadata"], **wanted}
        call.state.dirty = True
    return Answer(200, {"metadata": volume["metadata"]})


def list_snapshots(call: Call) -> Answer:
    """Everything, newest first."""
    return paged(call, "snapshots", _mine(call, call.region.snapshots, _SNAPSHOT_OWNER))


def show_snapshot(call: Call, snapshot_id: str) -> Answer:
    """One snapshot."""
    return Answer(200, {"snapshot": shown(_snapshot(call, snapshot_id))})


def create_snapshot(call: Call) -> Answer:
    """Of a volume."""
    call.action = "create_snapshot"
    wanted = inner(call.request.json(), "snapshot")
    volume = _volume(call, str(wanted.get("volume_id")))
    if volume["status"] != "available" and not wanted.get("force"):
        raise bad_request(f"Invalid volume: Volume {volume['id']} status must be available, but current status is: "
                          f"{volume['status']}.")  # fmt: skip
    snapshot_id, now = call.state.new_id(), plain(call.now)
    new: Thing = {
        "id": snapshot_id, "created_at": now, "updated_at": None, "name": wanted.get("name") or "",
        "description": wanted.get("description"), "volume_id": volume["id"], "status": "creating",
        "size": volume["size"], "metadata": wanted.get("metadata") or {}, _SNAPSHOT_OWNER: call.token.project_id,
        "os-extended-snapshot-attributes:progress": "0%",
    }  # fmt: skip
    call.region.snapshots[snapshot_id] = new
    call.state.dirty = True
    answer = Answer(202, {"snapshot": shown(new)})
    plan_volume(new, call.now + call.state.clock.volume_seconds, {"status": "available"})
    call.did("create_snapshot", snapshot_id)
    return answer


def delete_snapshot(call: Call, snapshot_id: str) -> Answer:
    """Accept its end."""
    call.action, call.object_id = "delete_snapshot", snapshot_id
    snapshot = _snapshot(call, snapshot_id)
    if snapshot["status"] not in {"available", "error"}:
        raise bad_request(
            "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
        )
    snapshot["status"] = "deleting"
    plan_volume(snapshot, call.now + call.state.clock.volume_seconds, None)
    call.did("delete_snapshot", snapshot_id)
    return Answer(202)


def list_types(call: Call) -> Answer:
    """The volume types."""
    return paged(call, "volume_types", list(call.region.volume_types.values()), path="types")


def list_zones(call: Call) -> Answer:
    """One zone."""
    return Answer(200, {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]})


def answer(call: Call, path: str) -> Answer:
    """`path` is what follows the project in the address."""
    return _ROUTES.answer(call, path)


_ROUTES = Routes(
    [
        ("GET", "/volumes", list_volumes),
        ("GET", "/volumes/detail", list_volumes_in_detail),
        ("POST", "/volumes", create_volume),
        ("GET", "/volumes/<volume_id>", show_volume),
        ("PUT", "/volumes/<volume_id>", update_volume),
        ("DELETE", "/volumes/<volume_id>", delete_volume),
        ("POST", "/volumes/<volume_id>/action", act),
        ("GET", "/volumes/<volume_id>/metadata", change_metadata),
        ("PUT", "/volumes/<volume_id>/metadata", change_metadata),
        ("POST", "/volumes/<volume_id>/metadata", change_metadata),
        ("GET", "/snapshots", list_snapshots),
        ("GET", "/snapshots/detail", list_snapshots),
        ("POST", "/snapshots", create_snapshot),
        ("GET", "/snapshots/<snapshot_id>", show_snapshot),
        ("DELETE", "/snapshots/<snapshot_id>", delete_snapshot),
        ("GET", "/types", list_types),
        ("GET", "/os-availability-zone", list_zones),
        ("GET", "/limits", cinder_quotas.show_limits),
        ("GET", "/os-quota-sets/<project_id>", cinder_quotas.show_quota),
        ("PUT", "/os-quota-sets/<project_id>", cinder_quotas.put_quota),
    ]
)
