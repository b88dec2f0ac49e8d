"""Adopt the confirmed orphans of the pools as spares, or delete them; leave volumes that somebody uses alone."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.orphans import sweep_orphans

from ..models import OrphanVolume, SpareVolume, Volume, VolumePool
from ..sync.orphans import SpareOrphanTable
from ..sync.spares import ListedVolume, Listing
from .spares import delete_spare

log = structlog.get_logger(__name__)


def handle_orphans(account: CloudAccount, region: str, listing: Listing, began: datetime) -> None:
    """Sweep one listing for orphans, and adopt or delete each that is confirmed and that nobody uses."""
    pages = [list(listing.volumes.values())]
    confirmed = sweep_orphans(SpareOrphanTable(), account, region, pages, began)
    for volume_id in confirmed.filter(is_taken=False).values_list("volume_id", flat=True):
        resolve_orphan(account, region, listing.volumes[volume_id])


def resolve_orphan(account: CloudAccount, region: str, volume: ListedVolume) -> None:
    """Adopt an orphan as a spare of its pool, or delete it when the pool needs no other or it does not fit the pool."""
    if volume.status not in {"available", "error"}:
        log.warning("pool_orphan_left", account=account.pk, volume=volume.id, status=volume.status)
        return
    with transaction.atomic():
        pools = (
            VolumePool.objects.select_for_update(no_key=True)
            .filter(account=account, region=region)
            .order_by("pk")
        )
        # It may have got a row since the listing: that of a spare, or that of the tenant who has claimed the spare.
        rows = Q(volume_id=volume.id) | Q(pk=volume.spare_id)
        of_tenant = Volume.objects.filter(volume_id=volume.id)
        type_code = volume.name.removeprefix("spare-").rpartition("-")[0]
        pool = next((candidate for candidate in pools if candidate.type == type_code), None)
        if SpareVolume.objects.filter(rows).exists() or of_tenant.exists():
            return
        if pool is None:
            log.warning("pool_orphan_left", account=account.pk, volume=volume.id, status=volume.status)
            return
        spare = SpareVolume(
            id=volume.spare_id or uuid4(),
            pool=pool,
            volume_id=volume.id,
            name=volume.name,
            region=region,
            size_gb=volume.size_gb,
            # Empty where the pool leaves the choice to Cinder, so that any type, zone and image match the pool.
            volume_type=volume.volume_type if pool.volume_type else "",
            availability_zone=volume.availability_zone if pool.availability_zone else "",
            image_id=volume.image_id if pool.image_id else "",
            snapshot_id=volume.snapshot_id,
            status=SpareVolume.Status.AVAILABLE,
            available_at=timezone.now(),
        )
        count = SpareVolume.objects.filter(pool=pool).exclude(status=SpareVolume.Status.REMOVING).count()
        spare.save(force_insert=True)
        is_fresh = SpareVolume.objects.fresh(pool).filter(pk=spare.pk).exists()
        if volume.status != "available" or count >= pool.desired or not is_fresh:
            delete_spare(spare)
    OrphanVolume.objects.filter(account=account, region=region, volume_id=volume.id).delete()
