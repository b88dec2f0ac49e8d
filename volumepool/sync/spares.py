"""What Cinder has of the pools: the room's only reader of it, but for the watcher."""

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
from security.encryption import UnreadableSecret

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListedVolume:
    """A volume that carries the pools' mark. `spare_id` is the row that it was made for, as the mark says.

    `owner_id` is the tenant's row that has it since, once the claim's job has said so in Cinder.
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
    """A snapshot that is available, and the volume that it was taken of."""

    id: str
    volume_id: str
    name: str
    size_gb: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """All marked volumes of an account and region, by their ids, and its available snapshots."""

    volumes: dict[str, ListedVolume]
    snapshots: list[ListedSnapshot]

    def newest_snapshot(self, prefix: str, but_of: Container[str]) -> ListedSnapshot | None:
        """The newest one whose name begins so, and which is of none of some volumes."""
        fitting = [
            one for one in self.snapshots if one.name.startswith(prefix) and one.volume_id not in but_of
        ]
        return max(fitting, key=lambda one: (one.created_at, one.id), default=None)

    def snapshot(self, snapshot_id: str) -> ListedSnapshot | None:
        """One by its id."""
        return next((one for one in self.snapshots if one.id == snapshot_id), None)


def fetch_listing(account: CloudAccount, region: str) -> Listing | None:
    """One complete listing; None when the cloud does not give one."""
    try:
        block_storage = open_cloud(account, region).block_storage
        marked = block_storage.find_volumes_by_metadata({"portal_pool": settings.CLOUD_TAG})
        snapshots = [
            ListedSnapshot(one.id, one.volume_id or "", one.name, one.size_gb, one.created_at)
            for page in block_storage.snapshot_pages()
            for one in page
            if one.status == "available" and one.created_at
        ]
    except (CloudError, UnreadableSecret) as error:
        log.warning("pool_not_listed", account=account.pk, region=region, error=str(error))
        return None
    return Listing({volume.id: _seen(volume) for volume in marked}, snapshots)


def _seen(volume: Volume) -> ListedVolume:
    return ListedVolume(
        volume.id,
        _uuid(volume.metadata.get("portal_spare")),
        _uuid(volume.metadata.get("portal_volume")),
        volume.name,
        volume.status,
        volume.size_gb,
        volume.volume_type or "",
        volume.snapshot_id or "",
        volume.image_id or "",
        volume.availability_zone or "",
        is_attached=volume.is_used,
    )


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
