"""Reconciliation: the rows of the spares compared with the volumes in Cinder, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from cloudaccounts.models import CloudAccount
from tasks import engine
from tasks.clock import database_now
from tasks.dispatch import dispatch_task
from tasks.engine import Spec
from tasks.models import EntityLock

from ..commands import RenameVolumeCommand
from ..models import OrphanVolume, SpareVolume, Volume, VolumePool
from ..sync.spares import ListedVolume, Listing, fetch_listing
from .orphans import handle_orphans
from .spares import delete_spare

log = structlog.get_logger(__name__)

# The first listing without a volume is no proof: the listing may be at fault. The second one is.
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
    """Reconcile one account and region with one listing of Cinder; return whether the cloud gave one.

    Rows that have changed since the listing began are left alone, and so are spares that a job holds.
    """
    account = CloudAccount.objects.filter(pk=account_id, active=True).first()
    if account is None:
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

    A snapshot of a tenant's volume is never chosen by its name: other tenants would get that tenant's data.
    """
    sources = [snapshot.volume_id for snapshot in listing.snapshots]
    of_tenants = set(Volume.objects.filter(volume_id__in=sources).values_list("volume_id", flat=True))
    for pool in VolumePool.objects.filter(account=account, region=region):
        if not pool.has_snapshot_source:
            continue
        found = (
            listing.find_snapshot(pool.snapshot_id)
            if pool.snapshot_id
            else listing.find_newest_snapshot(pool.snapshot_prefix, of_tenants)
        )
        problem = ""
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
    held = _select_held(spares.values_list("pk", flat=True))
    by_mark = {seen.spare_id: seen for seen in listing.volumes.values()}
    for spare in spares:
        if str(spare.pk) in held:
            continue
        seen = listing.volumes.get(spare.volume_id or "") or by_mark.get(spare.pk)
        with transaction.atomic():
            # Read again under a lock: a claim in the meantime has deleted the row.
            fresh = SpareVolume.objects.select_for_update().filter(pk=spare.pk, updated_at__lt=began).first()
            if fresh is not None:
                _settle_spare(fresh, seen)


def _rename_claimed(listing: Listing, began: datetime) -> None:
    """Rename claimed volumes whose own job has ended before it did so: canceled, or refused by the cloud.

    Until then Cinder shows a spare. If the tenant's row were ever lost, the tenant's data would be taken for a spare.
    """
    rows = Volume.objects.filter(volume_id__in=list(listing.volumes), updated_at__lt=began)
    found = rows.values_list("pk", "volume_id")
    unnamed = [pk for pk, volume_id in found if listing.volumes[volume_id].owner_id != pk]
    if not unnamed:
        return
    with transaction.atomic():
        # Read again under locks: a job that deletes or renames one ends before this, or finds the lock of this job.
        locked = Volume.objects.select_for_update(of=("self",), skip_locked=True).filter(pk__in=unnamed)
        specs = []
        for row in locked.select_related("account", "information_system__tenant"):
            command = RenameVolumeCommand(str(row.pk), row.name)
            command.volume = row
            specs.append(Spec(command, row.information_system.tenant))
        engine.submit_many(specs, mode="valid")


def _settle_spare(spare: SpareVolume, seen: ListedVolume | None) -> None:
    """Settle one row, which no job holds, by what the listing says of its volume."""
    if seen is None:
        spare.missing_count += 1
        if spare.missing_count >= LISTINGS_NEEDED or spare.volume_id is None:
            spare.delete()
        else:
            spare.save(update_fields=["missing_count", "updated_at"])
    elif seen.is_attached or seen.name != spare.name:
        # Somebody uses it without the portal. It is theirs, and stays.
        OrphanVolume.record_used_volume(spare.pool.account, spare.region, seen.id, seen.name, seen.status)
        spare.delete()
    elif (
        seen.status.startswith("error")
        or seen.size_gb != spare.size_gb
        # The job that should delete it has failed; another one is submitted.
        or spare.status == SpareVolume.Status.REMOVING
    ):
        delete_spare(spare)
    elif seen.status == "available" and spare.status == SpareVolume.Status.CREATING:
        # Its job has ended without writing that: the row is bound as the job would have done.
        spare.volume_id, spare.status, spare.available_at = (
            seen.id,
            SpareVolume.Status.AVAILABLE,
            timezone.now(),
        )
        spare.missing_count = 0
        spare.save()
    elif seen.status != "available" and spare.status == SpareVolume.Status.AVAILABLE:
        # Cinder is working on it (maintenance, a backup): it cannot be claimed until that has ended.
        spare.status, spare.missing_count = SpareVolume.Status.CREATING, 0
        spare.save(update_fields=["status", "missing_count", "updated_at"])
    elif spare.missing_count:
        spare.missing_count = 0
        spare.save(update_fields=["missing_count", "updated_at"])


def _select_held(ids: Iterable[UUID]) -> set[str]:
    keys = [f"spare:{pk}" for pk in ids]
    found = EntityLock.objects.filter(key__in=keys).values_list("key", flat=True)
    return {key.removeprefix("spare:") for key in found}


def _replace_outdated(pool: VolumePool) -> None:
    """Delete spares that are too old, of an older snapshot or of the pool's former settings, never below `desired`."""
    with transaction.atomic():
        locked = VolumePool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        ready = SpareVolume.objects.filter(pool=locked, status=SpareVolume.Status.AVAILABLE)
        good = set(SpareVolume.objects.fresh(locked).values_list("pk", flat=True))
        surplus = ready.count() - locked.desired if locked.enabled else 0
        old_first = sorted(
            ready.select_for_update(skip_locked=True), key=lambda one: (one.pk in good, one.available_at)
        )
        for spare in old_first[: max(0, surplus)]:
            delete_spare(spare)
