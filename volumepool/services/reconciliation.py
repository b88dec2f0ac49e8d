"""Reconcile the rows of spares with the volumes in Cinder, in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from api.messages import message as _
from cloudaccounts.models import CloudAccount
from cloudaccounts.sync.orphans import select_released
from tasks import engine
from tasks.clock import database_now
from tasks.dispatch import dispatch_task
from tasks.engine import Spec
from tasks.models import EntityLock
from tasks.restore_guard import is_paused

from ..commands import RenameVolumeCommand
from ..models import OrphanVolume, SpareVolume, Volume, VolumePool
from ..sync.spares import ListedVolume, Listing, fetch_listing
from .orphans import handle_orphans
from .spares import delete_spare

log = structlog.get_logger(__name__)

# A spare is lost when this many listings in a row do not show its volume: a single listing may have a gap.
LISTINGS_NEEDED = 2


def select_regions_to_reconcile() -> list[tuple[int, str]]:
    """Return every account and region that has a pool, or spares of one."""
    pools = VolumePool.objects.filter(account__active=True).order_by()
    spares = SpareVolume.objects.filter(pool__account__active=True).order_by()
    return sorted(
        {
            *pools.values_list("account_id", "region").distinct(),
            *spares.values_list("pool__account_id", "region").distinct(),
        }
    )


def reconcile(account_id: int, region: str) -> bool:
    """Reconcile one account and region with a listing of Cinder; return whether Cinder returned one.

    Rows that have changed since the listing began are left alone, and so are spares that a job holds. Nothing is done while
    the database counts as restored: its spares may have been handed out since.
    """
    account = CloudAccount.objects.filter(pk=account_id, active=True).first()
    if account is None or is_paused("volumepool.reconcile"):
        return False
    began = database_now()
    listing = fetch_listing(account, region)
    if listing is None:
        return False
    _choose_snapshots(account, region, listing)
    _compare_spares(account, region, listing, began)
    _rename_claimed(listing, began)
    handle_orphans(account, region, listing, began)
    for pool in VolumePool.objects.filter(account=account, region=region):
        _replace_outdated(pool)
        dispatch_task("volumepool.backfill", [pool.pk])
    return True


def _choose_snapshots(account: CloudAccount, region: str, listing: Listing) -> None:
    """Choose the snapshot that new spares of each pool are copied from, or record why there is none.

    A snapshot of a tenant's volume, or of one that a tenant has released, is never chosen by its name: other tenants would
    get that tenant's data.
    """
    sources = [snapshot.volume_id for snapshot in listing.snapshots]
    of_tenants = set(Volume.objects.filter(volume_id__in=sources).values_list("volume_id", flat=True))
    of_tenants |= select_released(sources)
    for pool in VolumePool.objects.filter(account=account, region=region):
        if not pool.has_snapshot_source:
            continue
        found = (
            listing.find_snapshot(pool.snapshot_id)
            if pool.snapshot_id
            else listing.find_newest_snapshot(pool.snapshot_prefix, of_tenants)
        )
        problem: str = ""
        if found is None:
            problem = _("No available snapshot matches '%(source)s'.") % {
                "source": pool.snapshot_id or pool.snapshot_prefix
            }
        elif found.size_gb > pool.size_gb:
            problem = _("The snapshot has %(size)s GB. The pool's volumes have only %(pool)s GB.") % {
                "size": found.size_gb,
                "pool": pool.size_gb,
            }
        VolumePool.objects.filter(pk=pool.pk).update(
            current_snapshot_id="" if found is None or problem else found.id, source_error=problem
        )


def _compare_spares(account: CloudAccount, region: str, listing: Listing, began: datetime) -> None:
    spares = SpareVolume.objects.filter(pool__account=account, region=region, updated_at__lt=began)
    held_ids = _select_held_ids(spares.values_list("pk", flat=True))
    by_spare_id = {volume.spare_id: volume for volume in listing.volumes.values()}
    for spare in spares:
        if str(spare.pk) in held_ids:
            continue
        volume = listing.volumes.get(spare.volume_id or "") or by_spare_id.get(spare.pk)
        with transaction.atomic():
            # Read again under a lock: a claim in the meantime has deleted the row.
            locked = SpareVolume.objects.select_for_update().filter(pk=spare.pk, updated_at__lt=began).first()
            if locked is not None:
                _settle_spare(locked, volume)


def _rename_claimed(listing: Listing, began: datetime) -> None:
    """Rename claimed volumes whose own job has ended without renaming them, because it was canceled or refused.

    Until then Cinder shows a spare. If the tenant's row were lost, the tenant's data would be treated as a spare.
    """
    rows = Volume.objects.filter(volume_id__in=list(listing.volumes), updated_at__lt=began)
    found = rows.values_list("pk", "volume_id")
    unnamed = [pk for pk, volume_id in found if listing.volumes[volume_id].owner_id != pk]
    if not unnamed:
        return
    with transaction.atomic():
        # Read again under locks: a job that deletes or renames a volume has ended, or finds the lock of this job.
        locked = Volume.objects.select_for_update(of=("self",), skip_locked=True).filter(pk__in=unnamed)
        specs = []
        for row in locked.select_related("account", "information_system__tenant"):
            command = RenameVolumeCommand(str(row.pk), row.name)
            command.volume = row
            specs.append(Spec(command, row.information_system.tenant))
        engine.submit_many(specs, mode="valid")


def _settle_spare(spare: SpareVolume, volume: ListedVolume | None) -> None:
    """Bring the row of a spare, which no job holds, in line with the listed volume."""
    if volume is None:
        spare.missing_count += 1
        if spare.missing_count >= LISTINGS_NEEDED or spare.volume_id is None:
            spare.delete()
        else:
            spare.save(update_fields=["missing_count", "updated_at"])
    elif volume.is_attached or volume.name != spare.name:
        # Somebody uses the volume without the portal, so it is left alone.
        OrphanVolume.record_used_volume(
            spare.pool.account, spare.region, volume.id, volume.name, volume.status
        )
        spare.delete()
    elif (
        volume.status.startswith("error")
        or volume.size_gb != spare.size_gb
        # The job that was to delete it has failed; another one is submitted.
        or spare.status == SpareVolume.Status.REMOVING
    ):
        delete_spare(spare)
    elif volume.status == "available" and spare.status == SpareVolume.Status.CREATING:
        # Its job has ended without binding the row, so it is bound here.
        spare.volume_id, spare.status, spare.available_at = (
            volume.id,
            SpareVolume.Status.AVAILABLE,
            timezone.now(),
        )
        spare.missing_count = 0
        spare.save()
    elif volume.status != "available" and spare.status == SpareVolume.Status.AVAILABLE:
        # Cinder is working on the volume (maintenance, a backup): it cannot be claimed until that has ended.
        spare.status, spare.missing_count = SpareVolume.Status.CREATING, 0
        spare.save(update_fields=["status", "missing_count", "updated_at"])
    elif spare.missing_count:
        spare.missing_count = 0
        spare.save(update_fields=["missing_count", "updated_at"])


def _select_held_ids(ids: Iterable[UUID]) -> set[str]:
    keys = [f"spare:{pk}" for pk in ids]
    found = EntityLock.objects.filter(key__in=keys).values_list("key", flat=True)
    return {key.removeprefix("spare:") for key in found}


def _replace_outdated(pool: VolumePool) -> None:
    """Delete spares that are too old, of an older snapshot or of the pool's former settings, never below `desired`."""
    with transaction.atomic():
        locked = VolumePool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        ready = SpareVolume.objects.filter(pool=locked, status=SpareVolume.Status.AVAILABLE)
        fresh_ids = set(SpareVolume.objects.fresh(locked).values_list("pk", flat=True))
        surplus = ready.count() - locked.desired if locked.enabled else 0
        outdated_first = sorted(
            ready.select_for_update(skip_locked=True),
            key=lambda spare: (spare.pk in fresh_ids, spare.available_at),
        )
        for spare in outdated_first[: max(0, surplus)]:
            delete_spare(spare)
