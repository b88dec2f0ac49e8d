"""How much more a project may have in Cinder: what the backfill asks before it asks for anything."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from django.conf import settings

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import CloudError
from security.encryption import UnreadableSecret

log = structlog.get_logger(__name__)

# What counts how many fit when nothing limits them.
ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of each of Cinder's quotas, by its name ("gigabytes", "volumes_ssd"), when users' part is taken off.

    A quota without a limit is not in it. `largest_gb` is the most that one volume may have, None for no limit.
    """

    left: dict[str, int] = field(default_factory=dict)
    largest_gb: int | None = None

    def __str__(self) -> str:
        """The figures, for people."""
        return (
            ", ".join(f"{name} {left}" for name, left in sorted(self.left.items()) if left < ENDLESS) or "-"
        )

    def fits(self, size_gb: int, volume_type: str, *, volumes: int, gigabytes: int) -> int:
        """How many volumes of a size and type there is room for, besides so many that Cinder may not have counted yet."""
        if self.largest_gb is not None and size_gb > self.largest_gb:
            return 0
        found = ENDLESS
        for name in ("volumes", *([f"volumes_{volume_type}"] if volume_type else [])):
            if name in self.left:
                found = min(found, self.left[name] - volumes)
        for name in ("gigabytes", *([f"gigabytes_{volume_type}"] if volume_type else [])):
            if name in self.left:
                found = min(found, (self.left[name] - gigabytes) // size_gb)
        return max(0, found)


def fetch_remaining_quota(account: CloudAccount, region: str) -> Room | None:
    """What Cinder says is left, less the part that is kept for users; None when it does not say."""
    try:
        quotas = open_cloud(account, region).block_storage.list_quotas()
    except (CloudError, UnreadableSecret) as error:
        log.warning("pool_room_unknown", account=account.pk, region=region, error=str(error))
        return None
    left: dict[str, int] = {}
    largest = None
    for quota in quotas:
        if quota.limit < 0:
            continue
        if quota.name == "per_volume_gigabytes":
            largest = quota.limit
        elif quota.name.startswith(("volumes", "gigabytes")):
            kept = -(-quota.limit * settings.POOL_QUOTA_KEPT_PERCENT // 100)
            left[quota.name] = quota.limit - kept - (quota.in_use or 0) - (quota.reserved or 0)
    return Room(left, largest)
