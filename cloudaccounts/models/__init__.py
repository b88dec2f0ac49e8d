"""Cloud accounts, what is in them, and how that was found out."""

from .accounts import CloudAccount, CloudAccountQuerySet, validate_region_list
from .resource_types import ResourceType
from .resources import CloudResource, CloudResourceQuerySet, OfAccountQuerySet, ResourceChange, ResourceLink
from .sync_logs import SyncLog, SyncLogLine, SyncLogQuerySet

__all__ = [
    "CloudAccount",
    "CloudAccountQuerySet",
    "CloudResource",
    "CloudResourceQuerySet",
    "OfAccountQuerySet",
    "ResourceChange",
    "ResourceLink",
    "ResourceType",
    "SyncLog",
    "SyncLogLine",
    "SyncLogQuerySet",
    "validate_region_list",
]
