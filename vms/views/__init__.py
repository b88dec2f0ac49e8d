"""The views of the room's API, a module for each subject."""

from .adoption import AdoptView, UnmanagedResourceListView, VmMoveView, VmReleaseView
from .console import VmConsoleView
from .control import VmActionsView, VmBulkActionsView, VmResizeView, VmRestoreView
from .export import VmExportView
from .logins import (
    SSHKeyDetailView,
    SSHKeyListView,
    UserDataTemplateDetailView,
    UserDataTemplateListView,
    VmPasswordView,
    VmUserDataView,
)
from .recovery import (
    VmAbortMigrationView,
    VmEvacuateView,
    VmMigrateView,
    VmRebuildView,
    VmRescueView,
    VmUnrescueView,
)
from .snapshots import SnapshotDetailView, SnapshotListView, VmSnapshotsView
from .status_sync import VmSyncView
from .vms import VmDetailView, VmListView, VmOperationsView, VmOptionsView
from .volumes import VmVolumesView, VmVolumeView

__all__ = [
    "AdoptView",
    "SSHKeyDetailView",
    "SSHKeyListView",
    "SnapshotDetailView",
    "SnapshotListView",
    "UnmanagedResourceListView",
    "UserDataTemplateDetailView",
    "UserDataTemplateListView",
    "VmAbortMigrationView",
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
    "VmPasswordView",
    "VmRebuildView",
    "VmReleaseView",
    "VmRescueView",
    "VmResizeView",
    "VmRestoreView",
    "VmSnapshotsView",
    "VmSyncView",
    "VmUnrescueView",
    "VmUserDataView",
    "VmVolumeView",
    "VmVolumesView",
]
