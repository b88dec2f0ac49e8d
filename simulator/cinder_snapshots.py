"""Cinder: snapshots of volumes."""

from __future__ import annotations

import re
from collections.abc import Callable

from .cinder_quotas import check_quota
from .cinder_things import SNAPSHOT_OWNER, find_snapshot, find_volume, listed
from .clock import plain
from .exchange import Answer, Call, bad_request, inner
from .listing import paged, shown
from .moves import plan_volume
from .state import Thing

_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_BRIEF = ("id", "created_at", "updated_at", "name", "description", "volume_id", "status", "size", "metadata")
_PROGRESS = "os-extended-snapshot-attributes:progress"
# From here on, a snapshot of a volume in use needs no `force`.
_FORCE_IMPLIED = (3, 66)


def list_snapshots(call: Call) -> Answer:
    """What is on every snapshot, newest first."""
    found = listed(call, call.region.snapshots, SNAPSHOT_OWNER)
    return paged(call, "snapshots", [{name: one.get(name) for name in _BRIEF} for one in found])


def list_snapshots_in_detail(call: Call) -> Answer:
    """Everything, newest first."""
    found = listed(call, call.region.snapshots, SNAPSHOT_OWNER)
    return paged(call, "snapshots", found, path="snapshots/detail")


def show_snapshot(call: Call, snapshot_id: str) -> Answer:
    """One snapshot."""
    return Answer(200, {"snapshot": shown(find_snapshot(call, snapshot_id))})


def create_snapshot(call: Call) -> Answer:
    """Of a volume, whose own status stays as it is."""
    call.action = "create_snapshot"
    wanted = inner(call.request.json(), "snapshot")
    volume_id = str(wanted.get("volume_id"))
    if not _UUID.fullmatch(volume_id):
        raise bad_request(
            f"Invalid input for field/attribute volume_id. Value: {volume_id}. {volume_id!r} is not valid under any of the "
            "given schemas"
        )
    volume = find_volume(call, volume_id)
    _check_state(volume, is_forced=_is_forced(call, wanted))
    check_quota(call, "snapshots", 1, volume["size"], volume["volume_type"])
    snapshot_id, now, state = call.state.new_id(), plain(call.now), call.state
    new: Thing = {
        "id": snapshot_id, "created_at": now, "updated_at": None, "name": wanted.get("name") or "",
        "description": wanted.get("description"), "volume_id": volume["id"], "status": "creating",
        "size": volume["size"], "metadata": wanted.get("metadata") or {}, "group_snapshot_id": None,
        "user_id": call.token.user_id,
    }  # fmt: skip
    answer = Answer(202, {"snapshot": shown(new)})
    # Who owns it, and how far it is, Cinder says to who looks again, and not here.
    new.update({SNAPSHOT_OWNER: call.token.project_id, _PROGRESS: "0%"})
    call.region.snapshots[snapshot_id] = new
    ends = {"status": "error"} if state.fails("snapshot") else {"status": "available", _PROGRESS: "100%"}
    plan_volume(new, call.now + state.clock.volume_seconds, ends)
    state.dirty = True
    call.did("create_snapshot", snapshot_id)
    return answer


def _is_forced(call: Call, wanted: Thing) -> bool:
    asked = str(wanted.get("force", False)).lower() in {"true", "1", "on", "yes", "y", "t"}
    if call.microversion < _FORCE_IMPLIED:
        return asked
    if "force" in wanted and not asked:
        raise bad_request(
            "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, "
            "when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
        )
    return True


def _check_state(volume: Thing, *, is_forced: bool) -> None:
    status = volume["status"]
    for word, what in (("error", "error status"), ("maintenance", "maintenance mode")):
        if status == word:
            raise bad_request(f"Invalid volume: The snapshot cannot be created when the volume is in {what}.")
    allowed = ("available", "in-use") if is_forced else ("available",)
    if status not in allowed:
        raise bad_request(
            f"Invalid volume: Volume {volume['id']} status must be {', '.join(allowed)}, "
            f"but current status is: {status}."
        )


def delete_snapshot(call: Call, snapshot_id: str) -> Answer:
    """Accept its end."""
    call.action, call.object_id = "delete_snapshot", snapshot_id
    snapshot = find_snapshot(call, snapshot_id)
    if snapshot["status"] not in {"available", "error"}:
        raise bad_request(
            "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
        )
    snapshot["status"] = "deleting"
    plan_volume(snapshot, call.now + call.state.clock.volume_seconds, None)
    call.state.dirty = True
    call.did("delete_snapshot", snapshot_id)
    return Answer(202)


TABLE: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", "/snapshots", list_snapshots),
    ("GET", "/snapshots/detail", list_snapshots_in_detail),
    ("POST", "/snapshots", create_snapshot),
    ("GET", "/snapshots/<snapshot_id>", show_snapshot),
    ("DELETE", "/snapshots/<snapshot_id>", delete_snapshot),
]
