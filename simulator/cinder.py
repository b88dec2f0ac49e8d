"""Cinder: volumes and types."""

from __future__ import annotations

from . import cinder_actions, cinder_attachments, cinder_quotas, cinder_snapshots
from .calls import Call
from .cinder_lookup import VOLUME_OWNER, find_snapshot, find_volume, select_visible
from .cinder_quotas import check_quota, check_volume_size
from .clock import format_naive
from .http_messages import Response, bad_request, not_found, unwrap
from .pagination import paginate, serialize
from .routes import Routes
from .standard_content import build_volume
from .state import Resource
from .transitions import advance_images, schedule_change

MIN_VERSION, MAX_VERSION = (3, 0), (3, 70)
_DELETABLE = {"available", "error", "error_restoring", "error_extending", "error_managing"}


def version_document(base: str) -> Resource:
    """Return the version document that clients read first."""
    return {
        "id": "v3.0", "status": "CURRENT", "version": ".".join(map(str, MAX_VERSION)), "min_version": "3.0", "updated": "2022-08-31T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
    }  # fmt: skip


def list_volumes(call: Call) -> Response:
    """List ids and names."""
    resources = [
        {"id": v["id"], "name": v["name"], "links": []}
        for v in select_visible(call, call.region.volumes, VOLUME_OWNER)
    ]
    return paginate(call, "volumes", resources)


def list_volumes_in_detail(call: Call) -> Response:
    """List all fields, newest first."""
    return paginate(
        call, "volumes", select_visible(call, call.region.volumes, VOLUME_OWNER), path="volumes/detail"
    )


def show_volume(call: Call, volume_id: str) -> Response:
    """Show one volume."""
    return Response(200, {"volume": serialize(find_volume(call, volume_id))})


def create_volume(call: Call) -> Response:
    """Create a volume: blank, from a snapshot, from an image, or from another volume."""
    call.action = "create_volume"
    requested = unwrap(call.request.json(), "volume")
    state, region = call.state, call.region
    size = _validate_size(call, requested)
    kind = requested.get("volume_type") or "fake"
    if kind not in {t["name"] for t in region.volume_types.values()} | set(region.volume_types):
        raise not_found(f"Volume type with name {kind} could not be found.")
    volume_type = region.volume_types.get(kind, {}).get("name", kind)
    check_volume_size(call, size)
    check_quota(call, "volumes", 1, size, volume_type)
    new = build_volume(
        state.new_id(), requested.get("name") or "", size, call.token.project_id or "", format_naive(call.now)
    )
    new["updated_at"] = None
    new["user_id"] = call.token.user_id
    new["volume_type"] = volume_type
    new["description"] = requested.get("description")
    new["metadata"] = {str(k): str(v) for k, v in (requested.get("metadata") or {}).items()}
    new["snapshot_id"] = requested.get("snapshot_id")
    new["source_volid"] = requested.get("source_volid")
    region.volumes[new["id"]] = new
    final_fields: Resource = {"status": "available", **_describe_contents(call, requested)}
    if state.consume_failure("create"):
        final_fields = {"status": "error"}
    answer = Response(202, {"volume": serialize(new)})
    schedule_change(new, call.now + state.clock.volume_seconds, final_fields)
    state.dirty = True
    call.record_accepted("create_volume", new["id"])
    return answer


def _validate_size(call: Call, requested: Resource) -> int:
    """Return the requested size, or that of the source. Raises `HttpError` when the source does not fit or is not ready."""
    size, snapshot, image_id = requested.get("size"), None, requested.get("imageRef")
    if requested.get("snapshot_id"):
        snapshot = find_snapshot(call, requested["snapshot_id"])
        if snapshot["status"] != "available":
            raise bad_request(
                "Invalid snapshot: Originating snapshot status must be one of 'available' values"
            )
        size = size if size is not None else snapshot["size"]
    elif requested.get("source_volid"):
        size = size if size is not None else find_volume(call, requested["source_volid"])["size"]
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
    return int(size)


def _describe_contents(call: Call, requested: Resource) -> Resource:
    """Return the fields that describe the source of a volume, which are set once it is available."""
    image_id, snapshot_id = requested.get("imageRef"), requested.get("snapshot_id")
    if image_id is not None:
        image = call.region.images[image_id]
        # Nova checks here whether a flavor is large enough. All values are texts in Cinder.
        described = {
            "image_id": image_id,
            "image_name": str(image["name"]),
            "min_disk": str(image.get("min_disk") or 0),
            "min_ram": str(image.get("min_ram") or 0),
        }
        return {"bootable": "true", "volume_image_metadata": described}
    if not snapshot_id:
        return {"bootable": "false"}
    source = call.region.volumes.get(find_snapshot(call, snapshot_id)["volume_id"])
    if source is None:
        return {"bootable": "true"}
    return {name: source[name] for name in ("bootable", "volume_image_metadata") if name in source}


def _check_image(call: Call, image_id: str, size: int) -> None:
    advance_images(call.region, call.now)
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


def update_volume(call: Call, volume_id: str) -> Response:
    """Rename or describe a volume."""
    volume = find_volume(call, volume_id)
    requested = unwrap(call.request.json(), "volume")
    for name in ("name", "description", "metadata"):
        if name in requested:
            volume[name] = requested[name]
    volume["updated_at"] = format_naive(call.now)
    call.state.dirty = True
    call.record_accepted("update_volume", volume_id)
    return Response(200, {"volume": serialize(volume)})


def delete_volume(call: Call, volume_id: str) -> Response:
    """Start the deletion of a volume without attachments and snapshots."""
    call.action, call.object_id = "delete_volume", volume_id
    volume = find_volume(call, volume_id)
    has_snapshots = any(s["volume_id"] == volume_id for s in call.region.snapshots.values())
    if volume["status"] not in _DELETABLE or volume["attachments"] or has_snapshots:
        raise bad_request(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
            "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or "
            "be disassociated from snapshots after volume transfer."
        )
    volume["status"] = "deleting"
    schedule_change(volume, call.now + call.state.clock.volume_seconds, None)
    call.state.dirty = True
    call.record_accepted("delete_volume", volume_id)
    return Response(202)


def change_metadata(call: Call, volume_id: str) -> Response:
    """Show (GET), replace (PUT) or extend (POST) a volume's metadata."""
    volume = find_volume(call, volume_id)
    if call.request.method != "GET":
        requested = unwrap(call.request.json(), "metadata")
        volume["metadata"] = (
            requested if call.request.method == "PUT" else {**volume["metadata"], **requested}
        )
        call.state.dirty = True
    return Response(200, {"metadata": volume["metadata"]})


def list_types(call: Call) -> Response:
    """List the volume types."""
    # Cinder's name of these links differs from that of the list.
    return paginate(
        call,
        "volume_types",
        list(call.region.volume_types.values()),
        path="types",
        links="volume_type_links",
    )


def list_zones(call: Call) -> Response:
    """List the only zone."""
    return Response(200, {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]})


def answer(call: Call, path: str) -> Response:
    """Answer a call. `path` is the part after the project."""
    return _ROUTES.dispatch(call, path)


_ROUTES = Routes(
    [
        ("GET", "/volumes", list_volumes),
        ("GET", "/volumes/detail", list_volumes_in_detail),
        ("POST", "/volumes", create_volume),
        ("GET", "/volumes/<volume_id>", show_volume),
        ("PUT", "/volumes/<volume_id>", update_volume),
        ("DELETE", "/volumes/<volume_id>", delete_volume),
        ("POST", "/volumes/<volume_id>/action", cinder_actions.run_action),
        ("GET", "/volumes/<volume_id>/metadata", change_metadata),
        ("PUT", "/volumes/<volume_id>/metadata", change_metadata),
        ("POST", "/volumes/<volume_id>/metadata", change_metadata),
        *cinder_snapshots.TABLE,
        *cinder_attachments.TABLE,
        ("GET", "/types", list_types),
        ("GET", "/os-availability-zone", list_zones),
        ("GET", "/limits", cinder_quotas.show_limits),
        ("GET", "/os-quota-sets/<project_id>", cinder_quotas.show_quota),
        ("PUT", "/os-quota-sets/<project_id>", cinder_quotas.put_quota),
    ]
)
