"""Backfill: a row and a job for each spare that a pool lacks."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Now

from api.messages import message as _
from tasks import engine
from tasks.engine import Spec

from ..commands import CreateSpareCommand
from ..commands.spares import pause_pool
from ..models import SpareVolume, Volume, VolumePool
from ..models.pools import MAX_SPREAD_PAUSE
from ..sync.quotas import RemainingQuota, fetch_remaining_quota


def select_pools_to_fill() -> list[int]:
    """Return the pools that may lack spares: enabled, not paused, with an active account."""
    return list(_select_fillable_pools().filter(desired__gt=0).order_by("pk").values_list("pk", flat=True))


def _select_fillable_pools() -> QuerySet[VolumePool]:
    is_not_paused = (
        Q(paused_until=None) | Q(paused_until__lt=Now()) | Q(paused_until__gt=Now() + MAX_SPREAD_PAUSE)
    )
    return VolumePool.objects.filter(is_not_paused, enabled=True, account__active=True)


def backfill(pool_id: int) -> list[SpareVolume]:
    """Create the spares that a pool lacks, as far as the quota allows; return their rows.

    Spares that are available, being created, or only recorded all count, because all have rows. The remaining quota, less
    the share of users, is read from Cinder before any lock is taken. A pool whose quota is used up pauses.

    Safe beside another backfill of the account: its pools are locked in the order of their keys, so the second backfill
    counts the rows of the first. Claims do not wait for these locks.
    """
    pool = _select_fillable_pools().select_related("account").filter(pk=pool_id).first()
    if pool is None or pool.is_source_missing or _count_missing(pool) <= 0:
        return []
    quota = fetch_remaining_quota(pool.account, pool.region)
    if quota is None:
        return []
    with transaction.atomic():
        locked = VolumePool.objects.select_for_update(no_key=True).filter(account=pool.account_id)
        if pool_id not in [locked_pool.pk for locked_pool in locked.order_by("pk")]:
            return []
        # Read again under the lock: it may have been edited since the request to Cinder.
        pool = _select_fillable_pools().select_related("account").filter(pk=pool_id).first()
        if pool is None or pool.is_source_missing:
            return []
        missing = min(_count_missing(pool), _count_allowed(pool))
        if missing <= 0:
            return []
        fitting = min(missing, _count_fitting(pool, quota))
        if fitting <= 0:
            message = _(
                "The cloud quota has no room for another spare of %(size)s GB. Left for spares: %(quota)s."
            )
            pause_pool(pool.pk, message % {"size": pool.size_gb, "quota": quota})
            return []
        spares = SpareVolume.objects.bulk_create(_build_spare(pool) for _number in range(fitting))
        engine.submit_many([Spec(CreateSpareCommand(str(spare.pk), pool.pk)) for spare in spares])
        return spares


def _count_missing(pool: VolumePool) -> int:
    """Return how many spares are to be created. Outdated ones do not count: they are replaced, new ones first."""
    spares = SpareVolume.objects.filter(pool=pool)
    creating = spares.filter(status=SpareVolume.Status.CREATING).count()
    return pool.desired - spares.fresh(pool).count() - creating


def _count_allowed(pool: VolumePool) -> int:
    """Return how many more creations may run at once in the pool and its account. Those of users come first."""
    creating = SpareVolume.objects.filter(status=SpareVolume.Status.CREATING)
    in_pool = creating.filter(pool=pool).count()
    in_account = creating.filter(pool__account=pool.account_id).count()
    most: int = settings.POOL_IN_FLIGHT_PER_ACCOUNT
    of_users = Volume.objects.filter(account=pool.account_id, volume_id=None).count()
    return min(pool.max_in_flight - in_pool, most - in_account - of_users)


def _count_fitting(pool: VolumePool, quota: RemainingQuota) -> int:
    """Return how many fit into the quota, less the rows that Cinder may not have counted yet."""
    spares = SpareVolume.objects.filter(
        pool__account=pool.account_id, region=pool.region, status=SpareVolume.Status.CREATING
    )
    volumes = Volume.objects.filter(account=pool.account_id, region=pool.region, volume_id=None)
    uncounted = [rows.aggregate(count=Count("pk"), size=Sum("size_gb")) for rows in (spares, volumes)]
    return quota.count_fitting(
        pool.size_gb,
        pool.volume_type,
        volumes=sum(totals["count"] for totals in uncounted),
        gigabytes=sum(totals["size"] or 0 for totals in uncounted),
    )


def _build_spare(pool: VolumePool) -> SpareVolume:
    spare = SpareVolume(
        pool=pool,
        region=pool.region,
        size_gb=pool.size_gb,
        volume_type=pool.volume_type,
        availability_zone=pool.availability_zone,
        snapshot_id=pool.source_snapshot_id,
        image_id=pool.image_id,
    )
    spare.name = f"spare-{pool.type}-{str(spare.pk)[:8]}"
    return spare
