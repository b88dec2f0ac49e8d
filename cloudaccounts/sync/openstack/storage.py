"""Syncers of Cinder: volume types, snapshots, volumes; and of the quotas of all services."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud, RecordPage, Snapshot, Volume, VolumeType
from openstack_client.records import Quota

from ...registry import Link, ListedResource, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class VolumeTypeSyncer(OpenStackSyncer):
    """Volume types: `is_public`."""

    type = "volume_type"
    label = _("volume type")
    order = 13
    expires_after = 1
    catalogue = True

    def list_records(self, client: Cloud) -> Iterator[RecordPage[VolumeType]]:
        """Yield the volume types that the project may use."""
        yield client.block_storage.list_volume_types()

    def convert(self, record: VolumeType) -> ListedResource:
        """Convert a volume type."""
        return ListedResource(record.id, record.name, "active", {"is_public": record.is_public})


@register_syncer
class SnapshotSyncer(OpenStackSyncer):
    """Snapshots of volumes: `size_gb`, `metadata`, `created_at`."""

    type = "snapshot"
    label = _("volume snapshot")
    order = 50

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Snapshot]]:
        """Yield the snapshots of the project."""
        return client.block_storage.snapshot_pages()

    def convert(self, record: Snapshot) -> ListedResource:
        """Convert a snapshot."""
        return ListedResource(
            record.id,
            record.name,
            record.status,
            {
                "size_gb": record.size_gb,
                "metadata": dict(record.metadata),
                "created_at": record.created_at.isoformat() if record.created_at else "",
            },
            links=(Link("volume", record.volume_id),) if record.volume_id else (),
        )


@register_syncer
class VolumeSyncer(OpenStackSyncer):
    """Volumes: `size_gb`, `volume_type`, `is_bootable`, `device`, `zone`, `metadata`, `created_at`.

    `device` is its name in the server that it is attached to, by which a boot volume is told from others; None for a
    volume that is not attached, or whose device is not known.
    """

    type = "volume"
    label = _("volume")
    order = 51

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Volume]]:
        """Yield the volumes of the project."""
        return client.block_storage.volume_pages()

    def convert(self, record: Volume) -> ListedResource:
        """Convert a volume."""
        return ListedResource(
            record.id,
            record.name,
            record.status,
            {
                "size_gb": record.size_gb,
                "volume_type": record.volume_type or "",
                "is_bootable": record.is_bootable,
                "device": next(filter(None, record.devices), None),
                "zone": record.availability_zone or "",
                "metadata": dict(record.metadata),
                "created_at": record.created_at.isoformat() if record.created_at else "",
            },
            links=(Link("snapshot", record.snapshot_id),) if record.snapshot_id else (),
        )


@register_syncer
class QuotaSyncer(OpenStackSyncer):
    """Quotas and usage of the project, as `<service>.<name>`: `limit` (-1: unlimited), `in_use`, `reserved`."""

    type = "quota"
    label = _("quota")
    order = 90
    expires_after = 1

    def list_records(self, client: Cloud) -> Iterator[RecordPage[Quota]]:
        """Yield the quotas of compute, block storage and network."""
        for service in (client.compute, client.block_storage, client.network):
            yield RecordPage(service.list_quotas())

    def convert(self, record: Quota) -> ListedResource:
        """Convert a quota, whose status says whether it is full."""
        return ListedResource(
            f"{record.service}.{record.name}",
            record.name,
            _quota_status(record.limit, record.in_use),
            {
                "service": record.service,
                "limit": record.limit,
                "in_use": record.in_use,
                "reserved": record.reserved,
            },
        )


def _quota_status(limit: int, in_use: int | None) -> str:
    if limit < 0 or in_use is None:
        return "unlimited" if limit < 0 else ""
    return "full" if in_use >= limit else "free"
