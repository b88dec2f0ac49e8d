"""Accounts, resources and sync logs over REST."""

from .accounts import (
    AccountDetailView,
    AccountListView,
    AccountSyncView,
    AccountVerifyView,
    ProviderListView,
    ResourceTypeListView,
)
from .catalogue import GrantDetailView, GrantListView
from .hosts import AccountHostsView
from .resources import (
    CloudChangeListView,
    ResourceChangesView,
    ResourceDetailView,
    ResourceExportView,
    ResourceListView,
    ResourceStandsOnView,
    ResourceSupportsView,
    ResourceTopologyView,
)
from .sync_logs import SyncLogAcceptLossesView, SyncLogDetailView, SyncLogLinesView, SyncLogListView

__all__ = [
    "AccountDetailView",
    "AccountHostsView",
    "AccountListView",
    "AccountSyncView",
    "AccountVerifyView",
    "CloudChangeListView",
    "GrantDetailView",
    "GrantListView",
    "ProviderListView",
    "ResourceChangesView",
    "ResourceDetailView",
    "ResourceExportView",
    "ResourceListView",
    "ResourceStandsOnView",
    "ResourceSupportsView",
    "ResourceTopologyView",
    "ResourceTypeListView",
    "SyncLogAcceptLossesView",
    "SyncLogDetailView",
    "SyncLogLinesView",
    "SyncLogListView",
]
