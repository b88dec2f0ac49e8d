"""Accounts, resources and sync logs over REST."""

from .accounts import (
    AccountDetailView,
    AccountListView,
    AccountSyncView,
    AccountVerifyView,
    ResourceTypeListView,
)
from .catalogue import GrantDetailView, GrantListView
from .resources import (
    ResourceChangesView,
    ResourceDetailView,
    ResourceExportView,
    ResourceListView,
    ResourceTopologyView,
)
from .sync_logs import SyncLogAcceptLossesView, SyncLogDetailView, SyncLogLinesView, SyncLogListView

__all__ = [
    "AccountDetailView",
    "AccountListView",
    "AccountSyncView",
    "AccountVerifyView",
    "GrantDetailView",
    "GrantListView",
    "ResourceChangesView",
    "ResourceDetailView",
    "ResourceExportView",
    "ResourceListView",
    "ResourceTopologyView",
    "ResourceTypeListView",
    "SyncLogAcceptLossesView",
    "SyncLogDetailView",
    "SyncLogLinesView",
    "SyncLogListView",
]
