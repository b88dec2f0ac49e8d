"""Cloud accounts, their resources, and the logs of their syncs."""

from .accounts import MANAGED_PROVIDER, CloudAccount, CloudAccountQuerySet, validate_region_list
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
    ResourceState,
)
from .sync_logs import SyncLog, SyncLogLine, SyncLogQuerySet

__all__ = [
    "MANAGED_PROVIDER",
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
    "ResourceState",
    "ResourceType",
    "SyncLog",
    "SyncLogLine",
    "SyncLogQuerySet",
    "validate_region_list",
]
