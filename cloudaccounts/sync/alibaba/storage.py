"""Syncers of the block storage of ECS: snapshots, disks."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from .listings import read_number
from .provider import AlibabaSyncer, read_list, read_paid_until, read_tags


@register_syncer
class SnapshotSyncer(AlibabaSyncer):
    """Snapshots: `size_gb` (of the disk), `is_encrypted`, `kind` (auto or user), `progress`, `description`, `created_at`, `tags`;
    linked to their volume.
    """

    type = "snapshot"
    label = _("volume snapshot")
    order = 50
    product, action, path, id_member = "Ecs", "DescribeSnapshots", ("Snapshots", "Snapshot"), "SnapshotId"
    paging = "token"
    page_size = 100
    name_member = "SnapshotName"
    permissions = ("ecs:DescribeSnapshots",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a snapshot."""
        return ListedResource(
            found["SnapshotId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "size_gb": read_number(found.get("SourceDiskSize")),
                "is_encrypted": bool(found.get("Encrypted")),
                "kind": found.get("SnapshotType", ""),
                "progress": found.get("Progress", ""),
                "description": found.get("Description", ""),
                "created_at": found.get("CreationTime", ""),
                "tags": read_tags(found),
            },
            links=(Link("volume", found["SourceDiskId"]),) if found.get("SourceDiskId") else (),
        )


@register_syncer
class VolumeSyncer(AlibabaSyncer):
    """Disks: `size_gb`, `volume_type` (the category, with the performance level of an ESSD), `kind` (system or data), `iops`,
    `is_encrypted`, `zone`, `attachments`, `charge`, `created_at`, `paid_until`, `tags`.

    Links lead to the servers that they are attached to, and to the snapshot that they were made from.
    """

    type = "volume"
    label = _("volume")
    order = 55
    product, action, path, id_member = "Ecs", "DescribeDisks", ("Disks", "Disk"), "DiskId"
    paging = "token"
    page_size = 500
    name_member = "DiskName"
    permissions = ("ecs:DescribeDisks",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a disk."""
        attached = sorted(_list_attachments(found))
        level = found.get("PerformanceLevel")
        category = found.get("Category", "")
        charge = found.get("DiskChargeType", "")
        return ListedResource(
            found["DiskId"],
            self.read_name(found),
            found.get("Status", ""),
            {
                "size_gb": read_number(found.get("Size")),
                "volume_type": f"{category} {level}" if level else category,
                "kind": found.get("Type", ""),
                "iops": read_number(found.get("IOPS")),
                "is_encrypted": bool(found.get("Encrypted")),
                "zone": found.get("ZoneId", ""),
                "attachments": [list(one) for one in attached],
                "charge": charge,
                "description": found.get("Description", ""),
                "created_at": found.get("CreationTime", ""),
                "paid_until": read_paid_until(charge, found.get("ExpiredTime")),
                "tags": read_tags(found),
            },
            links=(
                *(Link("server", instance_id) for instance_id in sorted({one[0] for one in attached})),
                *([Link("snapshot", found["SourceSnapshotId"])] if found.get("SourceSnapshotId") else []),
            ),
        )


def _list_attachments(found: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the instances with the names of the device; a shared disk has several."""
    several = {
        (one["InstanceId"], one.get("Device") or "")
        for one in read_list(found, "Attachments", "Attachment")
        if one.get("InstanceId")
    }
    if several or not found.get("InstanceId"):
        return several
    return {(found["InstanceId"], found.get("Device") or "")}
