"""VMs over REST, a file for each subject."""

from .console import VmConsole
from .control import VmActions, VmBulkActions, VmResize
from .export import VmExport
from .machines import VmDetail, VmList, VmOperations, VmOptions
from .snapshots import SnapshotDetail, SnapshotList, VmSnapshots
from .syncing import VmSync
from .volumes import VmVolume, VmVolumes

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
