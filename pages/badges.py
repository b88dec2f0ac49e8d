"""The tone of each status: which color its badge has, and whether it shows that something is going on.

Rooms pass their own status values. A value that is missing here gets the neutral tone, so that a status that only a cloud
knows is shown, too.
"""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

# The statuses of volumes, snapshots, images and servers, as OpenStack writes them.
CLOUD_LABELS: dict[str, Promise] = {
    "active": pgettext_lazy("cloud status", "Active"),
    "attaching": pgettext_lazy("cloud status", "Attaching"),
    "available": pgettext_lazy("cloud status", "Available"),
    "awaiting-transfer": pgettext_lazy("cloud status", "Awaiting transfer"),
    "backing-up": pgettext_lazy("cloud status", "Backing up"),
    "build": pgettext_lazy("cloud status", "Building"),
    "creating": pgettext_lazy("cloud status", "Creating"),
    "deactivated": pgettext_lazy("cloud status", "Deactivated"),
    "deleted": pgettext_lazy("cloud status", "Deleted"),
    "deleting": pgettext_lazy("cloud status", "Deleting"),
    "detaching": pgettext_lazy("cloud status", "Detaching"),
    "down": pgettext_lazy("cloud status", "Down"),
    "downloading": pgettext_lazy("cloud status", "Downloading"),
    "error": pgettext_lazy("cloud status", "Error"),
    "error_deleting": pgettext_lazy("cloud status", "Deletion failed"),
    "error_extending": pgettext_lazy("cloud status", "Extension failed"),
    "extending": pgettext_lazy("cloud status", "Extending"),
    "gone": pgettext_lazy("cloud status", "Deleted in cloud"),
    "hard_reboot": pgettext_lazy("cloud status", "Restarting"),
    "in-use": pgettext_lazy("cloud status", "In use"),
    "killed": pgettext_lazy("cloud status", "Failed"),
    "maintenance": pgettext_lazy("cloud status", "Maintenance"),
    "migrating": pgettext_lazy("cloud status", "Migrating"),
    "paused": pgettext_lazy("cloud status", "Paused"),
    "queued": pgettext_lazy("cloud status", "Queued"),
    "reboot": pgettext_lazy("cloud status", "Restarting"),
    "rebuild": pgettext_lazy("cloud status", "Rebuilding"),
    "rescue": pgettext_lazy("cloud status", "Rescue mode"),
    "reserved": pgettext_lazy("cloud status", "Reserved"),
    "resize": pgettext_lazy("cloud status", "Resizing"),
    "restoring-backup": pgettext_lazy("cloud status", "Restoring backup"),
    "retyping": pgettext_lazy("cloud status", "Changing type"),
    "saving": pgettext_lazy("cloud status", "Saving"),
    "shelved": pgettext_lazy("cloud status", "Shelved"),
    "shelved_offloaded": pgettext_lazy("cloud status", "Shelved"),
    "shutoff": pgettext_lazy("cloud status", "Stopped"),
    "soft_deleted": pgettext_lazy("cloud status", "Deleted"),
    "suspended": pgettext_lazy("cloud status", "Suspended"),
    "unmanaging": pgettext_lazy("cloud status", "Releasing"),
    "uploading": pgettext_lazy("cloud status", "Uploading"),
    "verify_resize": pgettext_lazy("cloud status", "Resize to confirm"),
}

TONES = {
    "good": "running succeeded success active available in-use ok enabled verified full up reached",
    "bad": "error failed errored stuck killed down error_deleting error_extending late stale unhealthy unreachable expired removed_outside",
    "warning": "paused suspended interrupted unverified cancelled reverted source_missing flapping warning missing verify_resize rescue",
    "busy": (
        "queued waiting build building creating reboot hard_reboot resize migrating rebuild undoing filling reverting upgrading removing attaching detaching saving "
        "deleting reserved downloading uploading extending retyping maintenance"
    ),
}
_TONE_OF = {status: tone for tone, statuses in TONES.items() for status in statuses.split()}
# Of a task, "running" means that it is not finished yet; of a VM, that all is well.
_TONE_OF_TASK = {"running": "busy"}


def find_tone(status: str, kind: str = "") -> str:
    """Return the tone of a status: `good`, `bad`, `warning`, `busy` or `neutral`. `kind` is "task" for tasks and steps."""
    status = status.lower()
    return (_TONE_OF_TASK.get(status) if kind == "task" else None) or _TONE_OF.get(status, "neutral")


def find_cloud_label(status: str) -> str:
    """Return the label of a status of OpenStack in the reader's language; the status itself if it has none."""
    return str(CLOUD_LABELS.get(status.lower(), status))
