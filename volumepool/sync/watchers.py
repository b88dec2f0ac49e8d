"""Watchers that poll volumes and their snapshots for the task manager."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from cloudaccounts.sync.watchers import CloudWatcher
from openstack_client import Cloud, RecordPage, Snapshot, Volume
from tasks.polling import Observation

from ..cinder_columns import map_volume_columns


class VolumeWatcher(CloudWatcher[Volume]):
    """Polls volumes. Cinder cannot list changes only, so many volumes are polled by listing all of them."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Volume:
        """Fetch one volume."""
        return cloud.block_storage.get_volume(object_id)

    def list_pages(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Volume]]:
        """List all volumes of the project."""
        return cloud.block_storage.volume_pages()

    def build_observation(self, found: Volume) -> Observation:
        """Return the volume's status, servers and columns."""
        data = {
            "server_ids": list(found.server_ids),
            "devices": list(found.devices),
            "columns": map_volume_columns(found).as_json(),
        }
        return Observation(found.status, "", data)


class SnapshotWatcher(CloudWatcher[Snapshot]):
    """Polls snapshots of volumes."""

    def fetch_object(self, cloud: Cloud, object_id: str) -> Snapshot:
        """Fetch one snapshot."""
        return cloud.block_storage.get_snapshot(object_id)

    def list_pages(self, cloud: Cloud, since: datetime) -> Iterator[RecordPage[Snapshot]]:
        """List all snapshots of the project."""
        return cloud.block_storage.snapshot_pages()

    def build_observation(self, found: Snapshot) -> Observation:
        """Return the snapshot's status."""
        return Observation(found.status)
