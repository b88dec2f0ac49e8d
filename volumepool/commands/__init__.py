"""What a worker does to volumes, to snapshots of them, and to spares."""

from .changes import ExtendVolume, RenameVolume
from .cinder import delete_volumes
from .providing import ProvideVolumes
from .snapshots import RemoveVolumeSnapshot, SnapshotVolume
from .spares import CreateSpare, RemoveSpare
from .taking import TakeSpare
from .volumes import CreateVolume, RemoveVolume, VolumeCommand

__all__ = [
    "CreateSpare",
    "CreateVolume",
    "ExtendVolume",
    "ProvideVolumes",
    "RemoveSpare",
    "RemoveVolume",
    "RemoveVolumeSnapshot",
    "RenameVolume",
    "SnapshotVolume",
    "TakeSpare",
    "VolumeCommand",
    "delete_volumes",
]
