"""What the API of the room takes and shows, a file for each subject."""

from .pools import (
    PoolHistoryQuerySerializer,
    PoolHistorySerializer,
    SpareVolumeSerializer,
    VolumePoolSerializer,
)
from .snapshots import VolumeSnapshotRemovedSerializer, VolumeSnapshotSerializer
from .volumes import (
    ChangeVolumeSerializer,
    VolumeActedSerializer,
    VolumeActionSerializer,
    VolumeChangedSerializer,
    VolumeOptionSerializer,
    VolumeSerializer,
    VolumesProvidedSerializer,
    WantedVolumesSerializer,
)

__all__ = [
    "ChangeVolumeSerializer",
    "PoolHistoryQuerySerializer",
    "PoolHistorySerializer",
    "SpareVolumeSerializer",
    "VolumeActedSerializer",
    "VolumeActionSerializer",
    "VolumeChangedSerializer",
    "VolumeOptionSerializer",
    "VolumePoolSerializer",
    "VolumeSerializer",
    "VolumeSnapshotRemovedSerializer",
    "VolumeSnapshotSerializer",
    "VolumesProvidedSerializer",
    "WantedVolumesSerializer",
]
