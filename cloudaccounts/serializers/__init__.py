"""Serializers of accounts, resources and sync logs."""

from .accounts import (
    AccountAcceptedSerializer,
    CloudAccountDetailSerializer,
    CloudAccountSerializer,
    ProviderSerializer,
    ResourceTypeSerializer,
    VendorAccountSerializer,
    build_account_serializer,
)
from .catalogue import CatalogueGrantSerializer, CreateGrantSerializer
from .hosts import AccountHostsJobSerializer, ComputeHostSerializer, ReadHostsSerializer
from .resources import (
    CloudChangeSerializer,
    CloudResourceSerializer,
    DependenciesSerializer,
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
    "CloudChangeSerializer",
    "CloudResourceSerializer",
    "ComputeHostSerializer",
    "CreateGrantSerializer",
    "DependenciesSerializer",
    "ProviderSerializer",
    "ReadHostsSerializer",
    "ResourceChangeSerializer",
    "ResourceTypeSerializer",
    "SyncLogLineSerializer",
    "SyncLogSerializer",
    "SyncLogsSerializer",
    "TopologyQuerySerializer",
    "TopologySerializer",
    "VendorAccountSerializer",
    "build_account_serializer",
]
