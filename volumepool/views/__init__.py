"""The room over REST, a file for each subject."""

from .pools import PoolBackfill, PoolDetail, PoolHistory, PoolList, PoolReconcile, PoolSpares
from .snapshots import VolumeSnapshotDetail, VolumeSnapshotList
from .volumes import VolumeActions, VolumeDetail, VolumeList, VolumeOptions

__all__ = [
    "PoolBackfill",
    "PoolDetail",
    "PoolHistory",
    "PoolList",
    "PoolReconcile",
    "PoolSpares",
    "VolumeActions",
    "VolumeDetail",
    "VolumeList",
    "VolumeOptions",
    "VolumeSnapshotDetail",
    "VolumeSnapshotList",
]
