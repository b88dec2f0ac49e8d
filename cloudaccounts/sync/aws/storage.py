"""Syncers of EBS and S3: snapshots, volumes, buckets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from ...registry import Link, ListedResource, register_syncer
from ..vendors import format_time
from .provider import AwsSyncer, read_name, read_tags

if TYPE_CHECKING:
    from .connection import AwsRegion


@register_syncer
class SnapshotSyncer(AwsSyncer):
    """Snapshots of the account's own: `size_gb`, `is_encrypted`, `description`, `created_at`, `tags`; linked to their volume."""

    type = "snapshot"
    label = _("volume snapshot")
    order = 50
    service, operation, member, id_member = "ec2", "describe_snapshots", "Snapshots", "SnapshotId"
    params = {"OwnerIds": ["self"]}
    page_size = 1000
    permissions = ("ec2:DescribeSnapshots",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a snapshot."""
        return ListedResource(
            found["SnapshotId"],
            read_name(found),
            found.get("State", ""),
            {
                "size_gb": found.get("VolumeSize"),
                "is_encrypted": bool(found.get("Encrypted")),
                "description": found.get("Description", ""),
                "created_at": format_time(found.get("StartTime")),
                "tags": read_tags(found),
            },
            links=(Link("volume", found["VolumeId"]),) if found.get("VolumeId") else (),
        )


@register_syncer
class VolumeSyncer(AwsSyncer):
    """Volumes: `size_gb`, `volume_type`, `iops`, `is_encrypted`, `zone`, `attachments`, `created_at`, `tags`.

    Links lead to the servers that they are attached to, and to the snapshot that they were made from.
    """

    type = "volume"
    label = _("volume")
    order = 55
    service, operation, member, id_member = "ec2", "describe_volumes", "Volumes", "VolumeId"
    page_size = 500
    permissions = ("ec2:DescribeVolumes",)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a volume."""
        attached = sorted(
            {
                (one["InstanceId"], one.get("Device") or "")
                for one in found.get("Attachments") or ()
                if one.get("InstanceId")
            }
        )
        return ListedResource(
            found["VolumeId"],
            read_name(found),
            found.get("State", ""),
            {
                "size_gb": found.get("Size"),
                "volume_type": found.get("VolumeType", ""),
                "iops": found.get("Iops"),
                "is_encrypted": bool(found.get("Encrypted")),
                "zone": found.get("AvailabilityZone", ""),
                "attachments": [list(one) for one in attached],
                "created_at": format_time(found.get("CreateTime")),
                "tags": read_tags(found),
            },
            links=(
                *(Link("server", instance_id) for instance_id, _device in attached),
                *([Link("snapshot", found["SnapshotId"])] if found.get("SnapshotId") else []),
            ),
        )


@register_syncer
class BucketSyncer(AwsSyncer):
    """Buckets of S3, which are listed once for all regions: `region`, `created_at`. Their name is their id."""

    type = "bucket"
    label = _("bucket")
    order = 90
    is_regional = False
    service, operation, member, id_member = "s3", "list_buckets", "Buckets", "Name"
    page_size = 1000
    permissions = ("s3:ListAllMyBuckets",)

    def list_objects(self, client: AwsRegion) -> Iterator[list[dict[str, Any]]]:
        """Yield the buckets of the account. Only a listing with pages tells their regions."""
        return client.list_pages(self.service, self.operation, self.member, page_size=self.page_size)

    def convert(self, found: dict[str, Any]) -> ListedResource:
        """Convert a bucket."""
        return ListedResource(
            found["Name"],
            found["Name"],
            "",
            {
                "region": found.get("BucketRegion", ""),
                "created_at": format_time(found.get("CreationDate")),
            },
        )
