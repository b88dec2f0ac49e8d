"""What may be asked of a volume by the word that Cinder says of it."""

from __future__ import annotations

from .models import GONE, Volume

# Cinder extends and takes snapshots of these, and Nova attaches what is available.
USABLE = frozenset({"available", "in-use"})
# Of these a server may be rid: "reserved", "attaching" and "detaching" are also what a request leaves that came to nothing.
ON_A_SERVER = frozenset({"in-use", "reserved", "attaching", "detaching"})
# Cinder removes none of these; an administrator of the cloud has to set another state first, or it changes by itself.
NOT_REMOVED = frozenset(
    {
        "error_deleting", "error_managing_deleting", "maintenance", "deleting", "downloading", "uploading", "retyping",
        "extending", "awaiting-transfer", "backing-up", "restoring-backup", "managing",
    }
)  # fmt: skip


def allowed_on(volume: Volume) -> list[str]:
    """What may be asked of a volume now, by its status alone: a job in flight and the role are told elsewhere."""
    if volume.status == GONE:
        return ["remove"]
    if volume.volume_id is None:
        return []
    allowed = ["rename"]
    if volume.status == "available" and volume.vm_id is None:
        allowed.append("attach")
    if volume.status in ON_A_SERVER and volume.vm_id is not None and not volume.is_boot:
        allowed.append("detach")
    if volume.status in USABLE and not (volume.is_boot and volume.vm_id is not None):
        allowed.append("extend")
    if volume.status in USABLE:
        allowed.append("snapshot")
    if volume.vm_id is None and volume.status not in NOT_REMOVED | {"in-use"}:
        allowed.append("remove")
    return sorted(allowed)
