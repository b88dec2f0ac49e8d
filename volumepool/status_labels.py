"""The statuses of Cinder in the language of the reader. A status that is not listed is shown as Cinder names it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

STATUS_LABELS = {
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


def label_status(status: str) -> str:
    """Return the label of a status of a volume or a snapshot."""
    return str(STATUS_LABELS.get(status, status))
