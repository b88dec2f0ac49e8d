"""Cinder: snapshots of volumes."""

from __future__ import annotations

import re
from collections.abc import Callable

from .calls import Call
from .cinder_lookup import SNAPSHOT_OWNER, find_snapshot, find_volume, select_visible
from .cinder_quotas import check_quota
from .clock import format_naive
from .http_messages import Response, bad_request, unwrap
from .pagination import paginate, serialize
from .state import Resource
from .transitions import schedule_change

_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_BRIEF = ("id", "created_at", "updated_at", "name", "description", "volume_id", "status", "size", "metadata")
_PROGRESS = "os-extended-snapshot-attributes:progress"
# Since this microversion, a snapshot of a volume in use needs no `force`.
_FORCE_IMPLIED = (3, 66)


def list_snapshots(call: Call) -> Response:
    """List the brief fields, newest first."""
    found = select_visible(call, call.region.snapshots, SNAPSHOT_OWNER)
    return paginate(call, "snapshots", [{name: snapshot.get(name) for name in _BRIEF} for snapshot in found])


def list_snapshots_in_detail(call: Call) -> Response:
    """List all fields, newest first."""
    found = select_visible(call, call.region.snapshots, SNAPSHOT_OWNER)
    return paginate(call, "snapshots", found, path="snapshots/detail")


def show_snapshot(call: Call, snapshot_id: str) -> Response:
    """Show one snapshot."""
    return Response(200, {"snapshot": serialize(find_snapshot(call, snapshot_id))})


def create_snapshot(call: Call) -> Response:
    """Create a snapshot of a volume, whose own status does not change."""
    call.action = "create_snapshot"
    requested = unwrap(call.request.json(), "snapshot")
    volume_id = str(requested.get("volume_id"))
    if not _UUID.fullmatch(volume_id):
        raise bad_request(
            f"Invalid input for field/attribute volume_id. Value: {volume_id}. {volume_id!r} is not valid under any of the "
            "given schemas"
        )
    volume = find_volume(call, volume_id)
    _check_state(volume, is_forced=_is_forced(call, requested))
    check_quota(call, "snapshots", 1, volume["size"], volume["volume_type"])
    snapshot_id, now, state = call.state.new_id(), format_naive(call.now), call.state
    new: Resource = {
        "id": snapshot_id, "created_at": now, "updated_at": None, "name": requested.get("name") or "",
        "description": requested.get("description"), "volume_id": volume["id"], "status": "creating",
        "size": volume["size"], "metadata": requested.get("metadata") or {}, "group_snapshot_id": None,
        "user_id": call.token.user_id,
    }  # fmt: skip
    answer = Response(202, {"snapshot": serialize(new)})
    # Cinder shows owner and progress in later answers only.
    new.update({SNAPSHOT_OWNER: call.token.project_id, _PROGRESS: "0%"})
    call.region.snapshots[snapshot_id] = new
    final_fields = (
        {"status": "error"}
        if state.consume_failure("snapshot")
        else {"status": "available", _PROGRESS: "100%"}
    )
    schedule_change(new, call.now + state.clock.volume_seconds, final_fields)
    state.dirty = True
    call.record_accepted("create_snapshot", snapshot_id)
    return answer


def _is_forced(call: Call, requested: Resource) -> bool:
    is_requested = str(requested.get("force", False)).lower() in {"true", "1", "on", "yes", "y", "t"}
    if call.microversion < _FORCE_IMPLIED:
        return is_requested
    if "force" in requested and not is_requested:
        raise bad_request(
            "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, "
            "when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
        )
    return True


def _check_state(volume: Resource, *, is_forced: bool) -> None:
    status = volume["status"]
    for refused, what in (("error", "error status"), ("maintenance", "maintenance mode")):
        if status == refused:
            raise bad_request(f"Invalid volume: The snapshot cannot be created when the volume is in {what}.")
    allowed = ("available", "in-use") if is_forced else ("available",)
    if status not in allowed:
        raise bad_request(
            f"Invalid volume: Volume {volume['id']} status must be {', '.join(allowed)}, "
            f"but current status is: {status}."
        )


def delete_snapshot(call: Call, snapshot_id: str) -> Response:
    """Start the deletion of a snapshot."""
    call.action, call.object_id = "delete_snapshot", snapshot_id
    snapshot = find_snapshot(call, snapshot_id)
    if snapshot["status"] not in {"available", "error"}:
        raise bad_request(
            "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
        )
    snapshot["status"] = "deleting"
    schedule_change(snapshot, call.now + call.state.clock.volume_seconds, None)
    call.state.dirty = True
    call.record_accepted("delete_snapshot", snapshot_id)
    return Response(202)


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/snapshots", list_snapshots),
    ("GET", "/snapshots/detail", list_snapshots_in_detail),
    ("POST", "/snapshots", create_snapshot),
    ("GET", "/snapshots/<snapshot_id>", show_snapshot),
    ("DELETE", "/snapshots/<snapshot_id>", delete_snapshot),
]
