"""Listings of the pools' volumes and snapshots in Cinder."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.conf import settings

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError, Volume
from security.encryption import UnreadableSecretError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListedVolume:
    """A volume that carries the pools' metadata, with the id of the spare that it was created for.

    `owner_id` is the id of the tenant's volume, once the job of the claim has written it to Cinder.
    """

    id: str
    spare_id: UUID | None
    owner_id: UUID | None
    name: str
    status: str
    size_gb: int
    volume_type: str
    snapshot_id: str
    image_id: str
    availability_zone: str
    is_attached: bool


@dataclass(frozen=True, slots=True)
class ListedSnapshot:
    """An available snapshot, and the volume that it was taken of."""

    id: str
    volume_id: str
    name: str
    size_gb: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """The pools' volumes of an account and region, by their ids, and its available snapshots."""

    volumes: dict[str, ListedVolume]
    snapshots: list[ListedSnapshot]

    def find_newest_snapshot(self, prefix: str, excluded_volumes: Container[str]) -> ListedSnapshot | None:
        """Return the newest snapshot whose name has a prefix, leaving out those of some volumes."""
        matching = [
            snapshot
            for snapshot in self.snapshots
            if snapshot.name.startswith(prefix) and snapshot.volume_id not in excluded_volumes
        ]
        return max(matching, key=lambda snapshot: (snapshot.created_at, snapshot.id), default=None)

    def find_snapshot(self, snapshot_id: str) -> ListedSnapshot | None:
        """Return the snapshot with an id."""
        return next((snapshot for snapshot in self.snapshots if snapshot.id == snapshot_id), None)


def fetch_listing(account: CloudAccount, region: str) -> Listing | None:
    """Fetch one complete listing; None when the cloud does not answer."""
    try:
        block_storage = open_cloud(account, region).block_storage
        volumes = block_storage.find_volumes_by_metadata({"portal_pool": settings.CLOUD_TAG})
        snapshots = [
            ListedSnapshot(
                snapshot.id,
                snapshot.volume_id or "",
                snapshot.name,
                snapshot.size_gb,
                snapshot.created_at,
            )
            for page in block_storage.snapshot_pages()
            for snapshot in page
            if snapshot.status == "available" and snapshot.created_at
        ]
    except (CloudError, UnreadableSecretError) as error:
        log.warning("pool_not_listed", account=account.pk, region=region, error=str(error))
        return None
    return Listing({volume.id: _build_listed_volume(volume) for volume in volumes}, snapshots)


def _build_listed_volume(volume: Volume) -> ListedVolume:
    return ListedVolume(
        volume.id,
        _parse_uuid(volume.metadata.get("portal_spare")),
        _parse_uuid(volume.metadata.get("portal_volume")),
        volume.name,
        volume.status,
        volume.size_gb,
        volume.volume_type or "",
        volume.snapshot_id or "",
        volume.image_id or "",
        volume.availability_zone or "",
        is_attached=volume.is_used,
    )


def _parse_uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
