"""What a worker does to volumes and to spares of them."""

from .cinder import delete_volumes
from .providing import ProvideVolumes
from .spares import CreateSpare, RemoveSpare
from .taking import TakeSpare
from .volumes import CreateVolume, RemoveVolume, VolumeCommand

__all__ = [
    "CreateSpare",
    "CreateVolume",
    "ProvideVolumes",
    "RemoveSpare",
    "RemoveVolume",
    "TakeSpare",
    "VolumeCommand",
    "delete_volumes",
]
