"""Volumes of tenants, snapshots of them, and spares kept ready."""

from .pools import Claim, OrphanVolume, PoolStock, SpareVolume, SpareVolumeQuerySet, VolumePool
from .snapshots import SNAPSHOT_WATCHER, VolumeSnapshot, VolumeSnapshotQuerySet
from .sync_state import VolumeSyncState
from .volumes import GONE, VOLUME_WATCHER, Volume, VolumeQuerySet

__all__ = [
    "GONE",
    "SNAPSHOT_WATCHER",
    "VOLUME_WATCHER",
    "Claim",
    "OrphanVolume",
    "PoolStock",
    "SpareVolume",
    "SpareVolumeQuerySet",
    "Volume",
    "VolumePool",
    "VolumeQuerySet",
    "VolumeSnapshot",
    "VolumeSnapshotQuerySet",
    "VolumeSyncState",
]
