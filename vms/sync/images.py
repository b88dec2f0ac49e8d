"""Write the status of the images of VM snapshots to their rows, in the same run as volumes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.listed_statuses import SyncCounts, record_missing, write_statuses
from openstack_client import Cloud

from ..models import VMSnapshot

_LOCK_PREFIX = "vm-snapshot:"


def sync_images(
    cloud: Cloud, account: CloudAccount, region: str, began: datetime, counts: SyncCounts
) -> None:
    """Update the VM snapshots of one account and region from Glance. Raises `CloudError`, `MassLossError`."""
    rows = VMSnapshot.objects.filter(account=account, region=region, image_id__isnull=False)
    known = rows.values_list("image_id", "pk", "status", "missing_count")
    unseen = {str(image_id): (pk, status, missing) for image_id, pk, status, missing in known}
    if not unseen:
        return
    total = len(unseen)
    by_status: dict[str, list[UUID]] = {}
    for page in cloud.image.image_pages():
        for image in page:
            row = unseen.pop(image.id, None)
            if row is None:
                continue
            counts.synced += 1
            if row[1] != image.status or row[2]:
                by_status.setdefault(image.status[:30], []).append(row[0])
    write_statuses(VMSnapshot, by_status, began=began, counts=counts, lock_prefix=_LOCK_PREFIX)
    missing = [(pk, count) for pk, status, count in unseen.values() if status != "gone"]
    record_missing(
        VMSnapshot,
        missing,
        total,
        began=began,
        losses_accepted=False,
        counts=counts,
        lock_prefix=_LOCK_PREFIX,
    )
