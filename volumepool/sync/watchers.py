"""Looking at volumes and their snapshots for the engine's async tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cloudaccounts.sync.watchers import CloudWatcher
from openstack_client import Cloud, RecordPage, Snapshot, Volume
from tasks.polling import Observation

from ..cinder_columns import to_columns


class VolumeWatcher(CloudWatcher[Volume]):
    """Looks at volumes. Cinder lists no changes, so many are looked at by a listing of all."""

    def one(self, cloud: Cloud, object_id: str) -> Volume:
        """One volume by a single get."""
        return cloud.block_storage.get_volume(object_id)

    def many(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Volume]]:
        """All volumes of the project."""
        return cloud.block_storage.volume_pages()

    def seen(self, found: Volume) -> Observation:
        """Cinder's word, and what it hangs on."""
        data = {
            "server_ids": list(found.server_ids),
            "devices": list(found.devices),
            "columns": to_columns(found).as_json(),
        }
        return Observation(found.status, "", data)


class SnapshotWatcher(CloudWatcher[Snapshot]):
    """Looks at snapshots of volumes."""

    def one(self, cloud: Cloud, object_id: str) -> Snapshot:
        """One snapshot by a single get."""
        return cloud.block_storage.get_snapshot(object_id)

    def many(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Snapshot]]:
        """All snapshots of the project."""
        return cloud.block_storage.snapshot_pages()

    def seen(self, found: Snapshot) -> Observation:
        """Cinder's word."""
        return Observation(found.status)
