"""The actions that a volume's status allows."""

from __future__ import annotations

from .models import GONE, Volume

# Cinder extends volumes in these statuses and creates snapshots of them.
USABLE_STATUSES = frozenset({"available", "in-use"})
# A volume in these can be detached: "reserved", "attaching" and "detaching" are also left behind by failed requests.
ATTACHMENT_STATUSES = frozenset({"in-use", "reserved", "attaching", "detaching"})
# Cinder deletes no volume in these: a cloud administrator has to reset the state first, or it changes by itself.
UNDELETABLE_STATUSES = frozenset(
    {
        "error_deleting", "error_managing_deleting", "maintenance", "deleting", "downloading", "uploading", "retyping",
        "extending", "awaiting-transfer", "backing-up", "restoring-backup", "managing",
    }
)  # fmt: skip


def list_allowed_actions(volume: Volume) -> list[str]:
    """List the actions that the status allows; jobs in flight and the caller's role are checked elsewhere."""
    if volume.is_in_bin:
        return ["remove"] if volume.status == GONE else ["remove", "restore"]
    if volume.status == GONE:
        return [] if volume.deletion_protection else ["remove"]
    if volume.volume_id is None:
        return []
    allowed = ["rename"]
    if volume.status == "available" and volume.vm_id is None:
        allowed.append("attach")
    if volume.status in ATTACHMENT_STATUSES and volume.vm_id is not None and not volume.is_boot:
        allowed.append("detach")
    if volume.status in USABLE_STATUSES and not (volume.is_boot and volume.vm_id is not None):
        allowed.append("extend")
    if volume.status in USABLE_STATUSES:
        allowed.append("snapshot")
    is_removable = volume.vm_id is None and not volume.deletion_protection
    if is_removable and volume.status not in UNDELETABLE_STATUSES | {"in-use"}:
        allowed.append("remove")
    return sorted(allowed)
