"""Cloud accounts, their resources, and the logs of their syncs."""

from .accounts import CloudAccount, CloudAccountQuerySet, validate_region_list
from .catalogue_grants import SERVER_GROUP_POLICIES, CatalogueGrant, CatalogueKind
from .compute_hosts import ComputeHost
from .released import ReleasedObject
from .resource_types import ResourceType
from .resources import (
    AccountScopedQuerySet,
    CloudResource,
    CloudResourceQuerySet,
    ResourceChange,
    ResourceLink,
)
from .sync_logs import SyncLog, SyncLogLine, SyncLogQuerySet

__all__ = [
    "SERVER_GROUP_POLICIES",
    "AccountScopedQuerySet",
    "CatalogueGrant",
    "CatalogueKind",
    "CloudAccount",
    "CloudAccountQuerySet",
    "CloudResource",
    "CloudResourceQuerySet",
    "ComputeHost",
    "ReleasedObject",
    "ResourceChange",
    "ResourceLink",
    "ResourceType",
    "SyncLog",
    "SyncLogLine",
    "SyncLogQuerySet",
    "validate_region_list",
]
