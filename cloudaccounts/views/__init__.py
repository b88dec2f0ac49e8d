"""Accounts, resources and sync logs over REST."""

from .accounts import AccountDetail, AccountList, AccountSync, AccountVerify, ResourceTypeList
from .resources import ResourceChanges, ResourceDetail, ResourceExport, ResourceList, ResourceTopology
from .sync_logs import SyncLogAcceptLosses, SyncLogDetail, SyncLogLines, SyncLogList

__all__ = [
    "AccountDetail",
    "AccountList",
    "AccountSync",
    "AccountVerify",
    "ResourceChanges",
    "ResourceDetail",
    "ResourceExport",
    "ResourceList",
    "ResourceTopology",
    "ResourceTypeList",
    "SyncLogAcceptLosses",
    "SyncLogDetail",
    "SyncLogLines",
    "SyncLogList",
]
