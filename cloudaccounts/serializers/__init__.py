"""Serializers of accounts, resources and sync logs."""

from .accounts import (
    AccountAcceptedSerializer,
    CloudAccountDetailSerializer,
    CloudAccountSerializer,
    ResourceTypeSerializer,
)
from .resources import (
    CloudResourceSerializer,
    ResourceChangeSerializer,
    TopologyQuerySerializer,
    TopologySerializer,
)
from .sync_logs import (
    AccountSyncSerializer,
    SyncLogLineSerializer,
    SyncLogSerializer,
    SyncLogsSerializer,
)

__all__ = [
    "AccountAcceptedSerializer",
    "AccountSyncSerializer",
    "CloudAccountDetailSerializer",
    "CloudAccountSerializer",
    "CloudResourceSerializer",
    "ResourceChangeSerializer",
    "ResourceTypeSerializer",
    "SyncLogLineSerializer",
    "SyncLogSerializer",
    "SyncLogsSerializer",
    "TopologyQuerySerializer",
    "TopologySerializer",
]
