"""VMs over REST, a file for each subject."""

from .control import VmActions, VmBulkActions, VmResize
from .export import VmExport
from .machines import VmDetail, VmList, VmOperations, VmOptions
from .parts import SnapshotDetail, SnapshotList, VmConsole, VmSnapshots, VmVolume, VmVolumes
from .syncing import VmSync

__all__ = [
    "SnapshotDetail",
    "SnapshotList",
    "VmActions",
    "VmBulkActions",
    "VmConsole",
    "VmDetail",
    "VmExport",
    "VmList",
    "VmOperations",
    "VmOptions",
    "VmResize",
    "VmSnapshots",
    "VmSync",
    "VmVolume",
    "VmVolumes",
]
