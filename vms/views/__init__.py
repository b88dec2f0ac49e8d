"""The views of the room's API, a module for each subject."""

from .adoption import AdoptView, UnmanagedResourceListView, VmMoveView, VmReleaseView
from .console import VmConsoleView
from .control import VmActionsView, VmBulkActionsView, VmResizeView, VmRestoreView
from .export import VmExportView
from .recovery import VmEvacuateView, VmMigrateView, VmRebuildView, VmRescueView, VmUnrescueView
from .snapshots import SnapshotDetailView, SnapshotListView, VmSnapshotsView
from .status_sync import VmSyncView
from .vms import VmDetailView, VmListView, VmOperationsView, VmOptionsView
from .volumes import VmVolumesView, VmVolumeView

__all__ = [
    "AdoptView",
    "SnapshotDetailView",
    "SnapshotListView",
    "UnmanagedResourceListView",
    "VmActionsView",
    "VmBulkActionsView",
    "VmConsoleView",
    "VmDetailView",
    "VmEvacuateView",
    "VmExportView",
    "VmListView",
    "VmMigrateView",
    "VmMoveView",
    "VmOperationsView",
    "VmOptionsView",
    "VmRebuildView",
    "VmReleaseView",
    "VmRescueView",
    "VmResizeView",
    "VmRestoreView",
    "VmSnapshotsView",
    "VmSyncView",
    "VmUnrescueView",
    "VmVolumeView",
    "VmVolumesView",
]
