"""Remaining quotas of a project in Cinder, which the backfill reads before it creates anything."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from django.conf import settings

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError
from security.encryption import UnreadableSecretError

log = structlog.get_logger(__name__)

# How many volumes fit when no quota limits them.
UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class RemainingQuota:
    """The remainder of each of Cinder's quotas by its name ("gigabytes", "volumes_ssd"), less the share reserved for users.

    A quota without a limit is left out. `largest_gb` is the limit of one volume, None without one.
    """

    left: dict[str, int] = field(default_factory=dict)
    largest_gb: int | None = None

    def __str__(self) -> str:
        """Return the figures, for messages."""
        return (
            ", ".join(f"{name} {left}" for name, left in sorted(self.left.items()) if left < UNLIMITED) or "-"
        )

    def count_fitting(self, size_gb: int, volume_type: str, *, volumes: int, gigabytes: int) -> int:
        """Return how many volumes fit, besides `volumes` of `gigabytes` that Cinder may not have counted yet."""
        if self.largest_gb is not None and size_gb > self.largest_gb:
            return 0
        found = UNLIMITED
        for name in ("volumes", *([f"volumes_{volume_type}"] if volume_type else [])):
            if name in self.left:
                found = min(found, self.left[name] - volumes)
        for name in ("gigabytes", *([f"gigabytes_{volume_type}"] if volume_type else [])):
            if name in self.left:
                found = min(found, (self.left[name] - gigabytes) // size_gb)
        return max(0, found)


def fetch_remaining_quota(account: CloudAccount, region: str) -> RemainingQuota | None:
    """Fetch the remaining quota, less the share that is reserved for users; None when the cloud does not answer."""
    try:
        quotas = open_cloud(account, region).block_storage.list_quotas()
    except (CloudError, UnreadableSecretError) as error:
        log.warning("pool_quota_unknown", account=account.pk, region=region, error=str(error))
        return None
    left: dict[str, int] = {}
    largest = None
    for quota in quotas:
        if quota.limit < 0:
            continue
        if quota.name == "per_volume_gigabytes":
            largest = quota.limit
        elif quota.name.startswith(("volumes", "gigabytes")):
            reserved_share = -(-quota.limit * settings.POOL_QUOTA_KEPT_PERCENT // 100)
            left[quota.name] = quota.limit - reserved_share - (quota.in_use or 0) - (quota.reserved or 0)
    return RemainingQuota(left, largest)
