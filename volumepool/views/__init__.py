"""The views of the room's API, a module for each subject."""

from .pools import (
    PoolBackfillView,
    PoolDetailView,
    PoolHistoryView,
    PoolListView,
    PoolReconcileView,
    PoolSparesView,
)
from .snapshots import VolumeSnapshotDetailView, VolumeSnapshotListView
from .volumes import (
    VolumeActionsView,
    VolumeDetailView,
    VolumeListView,
    VolumeOptionsView,
    VolumeRestoreView,
)

__all__ = [
    "PoolBackfillView",
    "PoolDetailView",
    "PoolHistoryView",
    "PoolListView",
    "PoolReconcileView",
    "PoolSparesView",
    "VolumeActionsView",
    "VolumeDetailView",
    "VolumeListView",
    "VolumeOptionsView",
    "VolumeRestoreView",
    "VolumeSnapshotDetailView",
    "VolumeSnapshotListView",
]
