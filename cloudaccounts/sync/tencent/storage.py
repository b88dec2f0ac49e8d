"""Syncers of Tencent Cloud's block storage (CBS): snapshots, volumes."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from ...registry import ListedResource, register_syncer
from .provider import TencentSyncer
from .values import make_links, read_paid_until, read_tags, read_time


@register_syncer
class SnapshotSyncer(TencentSyncer):
    """Snapshots: `size_gb` (of their volume), `is_encrypted`, `is_permanent`, `deleted_at` (when the vendor removes it),
    `volume_usage`, `zone`, `created_at`, `tags`. A link leads to their volume.
    """

    type = "snapshot"
    label = _("volume snapshot")
    order = 50
    service, operation, member = "cbs", "DescribeSnapshots", "SnapshotSet"
    id_member, name_member = "SnapshotId", "SnapshotName"
    permissions = ("cvm:DescribeSnapshots",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a snapshot."""
        return ListedResource(
            found["SnapshotId"],
            found.get("SnapshotName") or "",
            found.get("SnapshotState") or "",
            {
                "size_gb": found.get("DiskSize"),
                "is_encrypted": bool(found.get("Encrypt")),
                "is_permanent": bool(found.get("IsPermanent")),
                "deleted_at": read_time(found.get("DeadlineTime")),
                "volume_usage": found.get("DiskUsage") or "",
                "zone": (found.get("Placement") or {}).get("Zone") or "",
                "created_at": read_time(found.get("CreateTime")),
                "tags": read_tags(found, "Tags"),
            },
            links=tuple(make_links("volume", [found.get("DiskId")])),
        )


@register_syncer
class VolumeSyncer(TencentSyncer):
    """Volumes: `size_gb`, `volume_type`, `usage`, `is_encrypted`, `is_shared`, `zone`, `charge_type`, `created_at`, `paid_until`, `tags`.

    Links lead to the servers that they are attached to.
    """

    type = "volume"
    label = _("volume")
    order = 55
    service, operation, member = "cbs", "DescribeDisks", "DiskSet"
    id_member, name_member = "DiskId", "DiskName"
    permissions = ("cvm:DescribeDisks",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a volume."""
        charge_type = found.get("DiskChargeType") or ""
        users = [found.get("InstanceId"), *(found.get("InstanceIdList") or ())]
        return ListedResource(
            found["DiskId"],
            found.get("DiskName") or "",
            found.get("DiskState") or "",
            {
                "size_gb": found.get("DiskSize"),
                "volume_type": found.get("DiskType") or "",
                "usage": found.get("DiskUsage") or "",
                "is_encrypted": bool(found.get("Encrypt")),
                "is_shared": bool(found.get("Shareable")),
                "zone": (found.get("Placement") or {}).get("Zone") or "",
                "charge_type": charge_type,
                "created_at": read_time(found.get("CreateTime")),
                "paid_until": read_paid_until(found.get("DeadlineTime"), is_prepaid=charge_type == "PREPAID"),
                "tags": read_tags(found, "Tags"),
            },
            links=tuple(make_links("server", users)),
        )
