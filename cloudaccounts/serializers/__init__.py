"""Accounts, resources and sync logs as the API shows and takes them."""

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
    SyncAcceptedSerializer,
    SyncLogLineSerializer,
    SyncLogSerializer,
    SyncRequestSerializer,
)

__all__ = [
    "AccountAcceptedSerializer",
    "CloudAccountDetailSerializer",
    "CloudAccountSerializer",
    "CloudResourceSerializer",
    "ResourceChangeSerializer",
    "ResourceTypeSerializer",
    "SyncAcceptedSerializer",
    "SyncLogLineSerializer",
    "SyncLogSerializer",
    "SyncRequestSerializer",
    "TopologyQuerySerializer",
    "TopologySerializer",
]
