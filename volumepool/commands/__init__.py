"""Commands on volumes, snapshots of volumes and spares."""

from .attachments import has_volume, release_attachments
from .changes import ExtendVolumeCommand, RenameVolumeCommand
from .cinder import delete_volumes
from .claims import ClaimVolumesCommand
from .observations import record_if_gone, write_observed_volume
from .snapshots import RemoveVolumeSnapshotCommand, SnapshotVolumeCommand
from .spare_claims import ClaimSpareCommand
from .spares import CreateSpareCommand, RemoveSpareCommand
from .volumes import CreateVolumeCommand, RemoveVolumeCommand, VolumeCommand

__all__ = [
    "ClaimSpareCommand",
    "ClaimVolumesCommand",
    "CreateSpareCommand",
    "CreateVolumeCommand",
    "ExtendVolumeCommand",
    "RemoveSpareCommand",
    "RemoveVolumeCommand",
    "RemoveVolumeSnapshotCommand",
    "RenameVolumeCommand",
    "SnapshotVolumeCommand",
    "VolumeCommand",
    "delete_volumes",
    "has_volume",
    "record_if_gone",
    "release_attachments",
    "write_observed_volume",
]
