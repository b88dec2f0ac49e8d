"""Reconciliation: what the rows say of the spares against what Cinder has, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from cloudaccounts.models import CloudAccount
from tasks import engine
from tasks.clock import database_now
from tasks.doorbell import ring
from tasks.engine import Spec
from tasks.models import EntityLock

from ..commands import RemoveSpareCommand, RenameVolumeCommand
from ..models import SpareVolume, StrayVolume, Volume, VolumePool
from ..sync.spares import ListedVolume, Listing, fetch_listing

log = structlog.get_logger(__name__)

# Missing once is a rumour, and so is a volume without a row: it may be between two commits of ours.
BELIEVED = 2


def select_regions_to_reconcile() -> list[tuple[int, str]]:
    """Every account and region that has a pool, or spares of one."""
    pools = VolumePool.objects.filter(account__active=True).order_by()
    spares = SpareVolume.objects.filter(pool__account__active=True).order_by()
    return sorted(
        {
            *pools.values_list("account_id", "region").distinct(),
            *spares.values_list("pool__account_id", "region").distinct(),
        }
    )


def reconcile(account_id: int, region: str) -> bool:
    """Compare one account and region with one listing of Cinder, and put right what differs; whether it could be listed.

    Nothing is said about what the listing may be too old for: rows that have changed since it began are left alone, and
    so are spares that a job holds.
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
    _name_claimed(listing, began)
    _note_strays(account, region, listing, began)
    for pool in VolumePool.objects.filter(account=account, region=region):
        _replace_old(pool)
        ring("volumepool.backfill", [pool.pk])
    return True


def _choose_snapshots(account: CloudAccount, region: str, listing: Listing) -> None:
    """Which snapshot new spares of each pool are copies of, and what is wrong when there is none.

    What a tenant has taken a snapshot of is never chosen by its name: others would get what it holds.
    """
    sources = [snapshot.volume_id for snapshot in listing.snapshots]
    of_tenants = set(Volume.objects.filter(volume_id__in=sources).values_list("volume_id", flat=True))
    for pool in VolumePool.objects.filter(account=account, region=region):
        if not pool.is_of_snapshot:
            continue
        found = (
            listing.snapshot(pool.snapshot_id)
            if pool.snapshot_id
            else listing.newest_snapshot(pool.snapshot_prefix, of_tenants)
        )
        problem = ""
        if found is None:
            problem = _("No available snapshot fits '%(wish)s'.") % {
                "wish": pool.snapshot_id or pool.snapshot_prefix
            }
        elif found.size_gb > pool.size_gb:
            problem = _("The snapshot is of %(size)s GB, which does not fit into %(pool)s GB.") % {
                "size": found.size_gb,
                "pool": pool.size_gb,
            }
        VolumePool.objects.filter(pk=pool.pk).update(
            current_snapshot_id="" if found is None or problem else found.id, source_error=problem
        )


def _compare_spares(account: CloudAccount, region: str, listing: Listing, began: datetime) -> None:
    spares = SpareVolume.objects.filter(pool__account=account, region=region, updated_at__lt=began)
    held = _held(spares.values_list("pk", flat=True))
    by_mark = {seen.spare_id: seen for seen in listing.volumes.values()}
    for spare in spares:
        if str(spare.pk) in held:
            continue
        seen = listing.volumes.get(spare.volume_id or "") or by_mark.get(spare.pk)
        with transaction.atomic():
            # As it is now: who claimed it in the meantime has deleted the row.
            fresh = SpareVolume.objects.select_for_update().filter(pk=spare.pk, updated_at__lt=began).first()
            if fresh is not None:
                _settle(fresh, seen)


def _name_claimed(listing: Listing, began: datetime) -> None:
    """Have claimed volumes named whose own job has ended before it did so: cancelled, or refused by the cloud.

    Until then Cinder shows a spare; and if the tenant's row were ever lost, what he has on it would be taken for one.
    """
    rows = Volume.objects.filter(volume_id__in=list(listing.volumes), updated_at__lt=began)
    found = rows.values_list("pk", "volume_id")
    unnamed = [pk for pk, volume_id in found if listing.volumes[volume_id].owner_id != pk]
    if not unnamed:
        return
    with transaction.atomic():
        # As they are now, locked: a job that removes or renames one ends before this, or finds the lock of this one's job.
        locked = Volume.objects.select_for_update(of=("self",), skip_locked=True).filter(pk__in=unnamed)
        specs = []
        for row in locked.select_related("account", "information_system__tenant"):
            command = RenameVolumeCommand(str(row.pk), row.name)
            command.volume = row
            specs.append(Spec(command, row.information_system.tenant))
        engine.submit_many(specs, mode="valid")


def _settle(spare: SpareVolume, seen: ListedVolume | None) -> None:
    """Bring one row, which no job holds, to what the listing says of its volume."""
    if seen is None:
        spare.missing_count += 1
        if spare.missing_count >= BELIEVED or spare.volume_id is None:
            spare.delete()
        else:
            spare.save(update_fields=["missing_count", "updated_at"])
    elif seen.is_attached or seen.name != spare.name:
        # Somebody has taken it behind our back. It is his now, and stays.
        StrayVolume.note_taken(spare.pool.account, spare.region, seen.id, seen.name, seen.status)
        spare.delete()
    elif (
        seen.status.startswith("error")
        or seen.size_gb != spare.size_gb
        # Its job has come to nothing; another is asked.
        or spare.status == SpareVolume.Status.REMOVING
    ):
        _remove(spare)
    elif seen.status == "available" and spare.status == SpareVolume.Status.CREATING:
        # Its job has ended without writing that: bound as that would have done.
        spare.volume_id, spare.status, spare.available_at = (
            seen.id,
            SpareVolume.Status.AVAILABLE,
            timezone.now(),
        )
        spare.missing_count = 0
        spare.save()
    elif seen.status != "available" and spare.status == SpareVolume.Status.AVAILABLE:
        # Cinder is doing something to it (maintenance, a backup): nobody gets it until it is ready again.
        spare.status, spare.missing_count = SpareVolume.Status.CREATING, 0
        spare.save(update_fields=["status", "missing_count", "updated_at"])
    elif spare.missing_count:
        spare.missing_count = 0
        spare.save(update_fields=["missing_count", "updated_at"])


def _remove(spare: SpareVolume) -> None:
    """Have a spare removed, in Cinder too."""
    spare.status = SpareVolume.Status.REMOVING
    spare.save()
    engine.submit(RemoveSpareCommand(str(spare.pk), spare.pool_id))


def _held(ids: Iterable[UUID]) -> set[str]:
    keys = [f"spare:{pk}" for pk in ids]
    found = EntityLock.objects.filter(key__in=keys).values_list("key", flat=True)
    return {key.removeprefix("spare:") for key in found}


def _note_strays(account: CloudAccount, region: str, listing: Listing, began: datetime) -> None:
    """Marked volumes without a row: noted the first time, the second time adopted if they are good, else removed."""
    ids = list(listing.volumes)
    bound = set(SpareVolume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
    bound |= set(Volume.objects.filter(volume_id__in=ids).values_list("volume_id", flat=True))
    marks = {seen.spare_id for seen in listing.volumes.values() if seen.spare_id}
    rows = set(SpareVolume.objects.filter(pk__in=marks).values_list("pk", flat=True))
    known = StrayVolume.objects.filter(account=account, region=region)
    for volume in listing.volumes.values():
        # A row that is not bound yet belongs to a creation in flight.
        if volume.id in bound or volume.spare_id in rows or volume.status in {"creating", "deleting"}:
            continue
        taken = volume.is_attached or not volume.name.startswith("spare-")
        stray, created = StrayVolume.objects.get_or_create(
            account=account,
            region=region,
            volume_id=volume.id,
            defaults={"name": volume.name[:255], "status": volume.status[:50], "is_taken": taken},
        )
        if created:
            continue
        # By a listing that began after the last: two at once have seen it once.
        counted = known.filter(pk=stray.pk, last_seen_at__lt=began).update(
            seen=F("seen") + 1,
            last_seen_at=Now(),
            status=volume.status[:50],
            is_taken=taken or stray.is_taken,
        )
        if counted and stray.seen + 1 >= BELIEVED and not (taken or stray.is_taken):
            _deal_with(account, region, volume)
    known.filter(last_seen_at__lt=began).delete()


def _deal_with(account: CloudAccount, region: str, volume: ListedVolume) -> None:
    """Adopt a stray that is a good spare of a pool which lacks one; remove what is ours and no good; leave what is used."""
    if volume.status not in {"available", "error"}:
        log.warning("pool_stray_left", account=account.pk, volume=volume.id, status=volume.status)
        return
    with transaction.atomic():
        pools = (
            VolumePool.objects.select_for_update(no_key=True)
            .filter(account=account, region=region)
            .order_by("pk")
        )
        # It may have found a row since it was listed: a spare's, or a tenant's who has claimed it meanwhile.
        rows = Q(volume_id=volume.id) | Q(pk=volume.spare_id)
        of_tenant = Volume.objects.filter(volume_id=volume.id)
        type_code = volume.name.removeprefix("spare-").rpartition("-")[0]
        pool = next((one for one in pools if one.type == type_code), None)
        if SpareVolume.objects.filter(rows).exists() or of_tenant.exists():
            return
        if pool is None:
            log.warning("pool_stray_left", account=account.pk, volume=volume.id, status=volume.status)
            return
        spare = SpareVolume(
            id=volume.spare_id or uuid4(),
            pool=pool,
            volume_id=volume.id,
            name=volume.name,
            region=region,
            size_gb=volume.size_gb,
            # What the pool leaves to Cinder is whatever Cinder has chosen.
            volume_type=volume.volume_type if pool.volume_type else "",
            availability_zone=volume.availability_zone if pool.availability_zone else "",
            image_id=volume.image_id if pool.image_id else "",
            snapshot_id=volume.snapshot_id,
            status=SpareVolume.Status.AVAILABLE,
            available_at=timezone.now(),
        )
        there = SpareVolume.objects.filter(pool=pool).exclude(status=SpareVolume.Status.REMOVING).count()
        spare.save(force_insert=True)
        good = SpareVolume.objects.fresh(pool).filter(pk=spare.pk).exists()
        if volume.status != "available" or there >= pool.desired or not good:
            _remove(spare)
    StrayVolume.objects.filter(account=account, region=region, volume_id=volume.id).delete()


def _replace_old(pool: VolumePool) -> None:
    """Remove spares that are too old, of an older snapshot or of what the pool was before, never below `desired`."""
    with transaction.atomic():
        locked = VolumePool.objects.select_for_update(no_key=True).get(pk=pool.pk)
        ready = SpareVolume.objects.filter(pool=locked, status=SpareVolume.Status.AVAILABLE)
        good = set(SpareVolume.objects.fresh(locked).values_list("pk", flat=True))
        surplus = ready.count() - locked.desired if locked.enabled else 0
        old_first = sorted(
            ready.select_for_update(skip_locked=True), key=lambda one: (one.pk in good, one.available_at)
        )
        for spare in old_first[: max(0, surplus)]:
            _remove(spare)
