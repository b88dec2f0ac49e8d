"""What the API of the room takes and shows, a file for each subject."""

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
    "VolumeSerializer",
    "VolumeSnapshotJobSerializer",
    "VolumeSnapshotSerializer",
    "VolumesJobSerializer",
]
