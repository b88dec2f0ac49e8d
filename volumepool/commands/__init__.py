"""What a worker does to volumes, to snapshots of them, and to spares."""

from .changes import ExtendVolume, RenameVolume
from .cinder import delete_volumes
from .letting_go import has_volume, let_go
from .providing import ProvideVolumes
from .seen import note_if_gone, write_seen
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
    "has_volume",
    "let_go",
    "note_if_gone",
    "write_seen",
]
