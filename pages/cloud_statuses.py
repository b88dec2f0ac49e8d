"""The statuses of OpenStack's objects in the language of the reader. A status that is not listed is shown as the cloud names it."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# Of volumes, their snapshots and backups (Cinder). "gone" is the portal's own, for what the cloud no longer has.
VOLUME_STATUSES: dict[str, str | Promise] = {
    "creating": _("Creating"),
    "available": _("Available"),
    "in-use": _("In use"),
    "reserved": pgettext_lazy("volume", "Reserved"),
    "attaching": _("Attaching"),
    "detaching": _("Detaching"),
    "extending": _("Extending"),
    "retyping": _("Changing type"),
    "deleting": _("Deleting"),
    "maintenance": _("In maintenance"),
    "downloading": _("Downloading"),
    "uploading": _("Uploading"),
    "backing-up": _("Backing up"),
    "restoring-backup": _("Restoring a backup"),
    "awaiting-transfer": _("Awaiting transfer"),
    "managing": _("Being adopted by the cloud"),
    "unmanaging": _("Being released by the cloud"),
    "error": _("Error"),
    "error_deleting": _("Deletion failed"),
    "error_extending": _("Extension failed"),
    "error_restoring": _("Restoring failed"),
    "error_backing-up": _("Backup failed"),
    "error_managing": _("Adoption failed"),
    "gone": _("Deleted in cloud"),
}
# Of images (Glance), and so of snapshots of VMs.
IMAGE_STATUSES: dict[str, str | Promise] = {
    "active": _("Available"),
    "queued": _("Queued"),
    "saving": _("Saving"),
    "importing": _("Importing"),
    "uploading": _("Uploading"),
    "killed": _("Upload failed"),
    "deactivated": _("Deactivated"),
    "pending_delete": _("Deletion pending"),
    "deleted": _("Deleted"),
}
_LABELS = {**VOLUME_STATUSES, **IMAGE_STATUSES}


def label_cloud_status(status: str) -> str:
    """Return the label of a status of a volume, a snapshot or an image; the status itself if it has none."""
    return str(_LABELS.get(status, status))
