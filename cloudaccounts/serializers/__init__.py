"""Serializers of accounts, resources and sync logs."""

from .accounts import (
    AccountAcceptedSerializer,
    CloudAccountDetailSerializer,
    CloudAccountSerializer,
    ResourceTypeSerializer,
)
from .catalogue import CatalogueGrantSerializer, CreateGrantSerializer
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
    "CatalogueGrantSerializer",
    "CloudAccountDetailSerializer",
    "CloudAccountSerializer",
    "CloudResourceSerializer",
    "CreateGrantSerializer",
    "ResourceChangeSerializer",
    "ResourceTypeSerializer",
    "SyncLogLineSerializer",
    "SyncLogSerializer",
    "SyncLogsSerializer",
    "TopologyQuerySerializer",
    "TopologySerializer",
]
