"""What the API of the room takes and shows, a file for each subject."""

from .pools import FiguresSerializer, SpareVolumeSerializer, VolumePoolSerializer
from .volumes import (
    VolumeRemovedSerializer,
    VolumeSerializer,
    VolumesProvidedSerializer,
    WantedVolumesSerializer,
)

__all__ = [
    "FiguresSerializer",
    "SpareVolumeSerializer",
    "VolumePoolSerializer",
    "VolumeRemovedSerializer",
    "VolumeSerializer",
    "VolumesProvidedSerializer",
    "WantedVolumesSerializer",
]
