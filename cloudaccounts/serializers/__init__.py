"""Serializers of accounts, resources and sync logs."""

from .accounts import (
    AccountAcceptedSerializer,
    CloudAccountDetailSerializer,
    CloudAccountSerializer,
    ResourceTypeSerializer,
)
from .catalogue import CatalogueGrantSerializer, CreateGrantSerializer
from .hosts import AccountHostsJobSerializer, ComputeHostSerializer, ReadHostsSerializer
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
    "AccountHostsJobSerializer",
    "AccountSyncSerializer",
    "CatalogueGrantSerializer",
    "CloudAccountDetailSerializer",
    "CloudAccountSerializer",
    "CloudResourceSerializer",
    "ComputeHostSerializer",
    "CreateGrantSerializer",
    "ReadHostsSerializer",
    "ResourceChangeSerializer",
    "ResourceTypeSerializer",
    "SyncLogLineSerializer",
    "SyncLogSerializer",
    "SyncLogsSerializer",
    "TopologyQuerySerializer",
    "TopologySerializer",
]
