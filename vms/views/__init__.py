"""The views of the room's API, a module for each subject."""

from .console import VmConsoleView
from .control import VmActionsView, VmBulkActionsView, VmResizeView, VmRestoreView
from .export import VmExportView
from .snapshots import SnapshotDetailView, SnapshotListView, VmSnapshotsView
from .status_sync import VmSyncView
from .vms import VmDetailView, VmListView, VmOperationsView, VmOptionsView
from .volumes import VmVolumesView, VmVolumeView

__all__ = [
    "SnapshotDetailView",
    "SnapshotListView",
    "VmActionsView",
    "VmBulkActionsView",
    "VmConsoleView",
    "VmDetailView",
    "VmExportView",
    "VmListView",
    "VmOperationsView",
    "VmOptionsView",
    "VmResizeView",
    "VmRestoreView",
    "VmSnapshotsView",
    "VmSyncView",
    "VmVolumeView",
    "VmVolumesView",
]
