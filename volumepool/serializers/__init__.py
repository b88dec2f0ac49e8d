"""The serializers of the room's API, a module for each subject."""

from .pools import (
    PoolHistoryQuerySerializer,
    PoolHistorySerializer,
    SpareVolumeSerializer,
    VolumePoolSerializer,
)
from .snapshots import VolumeSnapshotJobSerializer, VolumeSnapshotSerializer
from .volumes import (
    ChangeVolumeSerializer,
    NewVolumesSerializer,
    VolumeActionJobSerializer,
    VolumeActionSerializer,
    VolumeJobSerializer,
    VolumeOptionSerializer,
    VolumeRemovalSerializer,
    VolumeRestoreSerializer,
    VolumeSerializer,
    VolumesJobSerializer,
)

__all__ = [
    "ChangeVolumeSerializer",
    "NewVolumesSerializer",
    "PoolHistoryQuerySerializer",
    "PoolHistorySerializer",
    "SpareVolumeSerializer",
    "VolumeActionJobSerializer",
    "VolumeActionSerializer",
    "VolumeJobSerializer",
    "VolumeOptionSerializer",
    "VolumePoolSerializer",
    "VolumeRemovalSerializer",
    "VolumeRestoreSerializer",
    "VolumeSerializer",
    "VolumeSnapshotJobSerializer",
    "VolumeSnapshotSerializer",
    "VolumesJobSerializer",
]
