"""What Cinder has, and what is left of the quotas of all services."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext_lazy as _

from openstack_client import Cloud

from ...registry import Found, Link, register_syncer
from .provider import OpenStackSyncer


@register_syncer
class VolumeTypes(OpenStackSyncer):
    """Kinds of volumes: `is_public`."""

    type = "volume_type"
    label = _("volume type")
    order = 13
    expires_after = 1
    catalogue = True

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All types that the project may use."""
        yield [
            Found(kind.id, kind.name, "active", {"is_public": kind.is_public})
            for kind in client.block_storage.list_volume_types()
        ]


@register_syncer
class Snapshots(OpenStackSyncer):
    """Snapshots of volumes: `size_gb`, `metadata`, `created_at`."""

    type = "snapshot"
    label = _("volume snapshot")
    order = 50

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All snapshots of the project."""
        for page in client.block_storage.snapshot_pages():
            yield [
                Found(
                    snapshot.id,
                    snapshot.name,
                    snapshot.status,
                    {
                        "size_gb": snapshot.size_gb,
                        "metadata": dict(snapshot.metadata),
                        "created_at": snapshot.created_at.isoformat() if snapshot.created_at else "",
                    },
                    links=(Link("volume", snapshot.volume_id),) if snapshot.volume_id else (),
                )
                for snapshot in page
            ]


@register_syncer
class Volumes(OpenStackSyncer):
    """Volumes: `size_gb`, `volume_type`, `is_bootable`, `zone`, `metadata`, `created_at`."""

    type = "volume"
    label = _("volume")
    order = 51

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """All volumes of the project."""
        for page in client.block_storage.volume_pages():
            yield [
                Found(
                    volume.id,
                    volume.name,
                    volume.status,
                    {
                        "size_gb": volume.size_gb,
                        "volume_type": volume.volume_type or "",
                        "is_bootable": volume.is_bootable,
                        "zone": volume.availability_zone or "",
                        "metadata": dict(volume.metadata),
                        "created_at": volume.created_at.isoformat() if volume.created_at else "",
                    },
                    links=(Link("snapshot", volume.snapshot_id),) if volume.snapshot_id else (),
                )
                for volume in page
            ]


@register_syncer
class Quotas(OpenStackSyncer):
    """What the project may use and uses, as `<service>.<name>`: `limit` (-1 is none), `in_use`, `reserved`."""

    type = "quota"
    label = _("quota")
    order = 90
    expires_after = 1

    def pages(self, client: Cloud) -> Iterator[list[Found]]:
        """The quotas of compute, block storage and network."""
        for service in (client.compute, client.block_storage, client.network):
            yield [
                Found(
                    f"{quota.service}.{quota.name}",
                    quota.name,
                    _fullness(quota.limit, quota.in_use),
                    {
                        "service": quota.service,
                        "limit": quota.limit,
                        "in_use": quota.in_use,
                        "reserved": quota.reserved,
                    },
                )
                for quota in service.list_quotas()
            ]


def _fullness(limit: int, in_use: int | None) -> str:
    if limit < 0 or in_use is None:
        return "unlimited" if limit < 0 else ""
    return "full" if in_use >= limit else "free"
