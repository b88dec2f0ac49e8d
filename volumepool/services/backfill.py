"""Backfill: what is missing in a pool is written down, and a job made of each."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from tasks import engine
from tasks.engine import Spec

from ..commands import CreateSpareCommand
from ..commands.spares import pause_pool
from ..models import SpareVolume, Volume, VolumePool
from ..models.pools import NO_PAUSE_IS_LONGER
from ..sync.quotas import Room, fetch_remaining_quota


def select_pools_to_fill() -> list[int]:
    """Pools that may need more spares: those that are on, not paused, and whose account is on."""
    return list(_fillable().filter(desired__gt=0).order_by("pk").values_list("pk", flat=True))


def _fillable() -> QuerySet[VolumePool]:
    ready = Q(paused_until=None) | Q(paused_until__lt=Now()) | Q(paused_until__gt=Now() + NO_PAUSE_IS_LONGER)
    return VolumePool.objects.filter(ready, enabled=True, account__active=True)


def backfill(pool_id: int) -> list[SpareVolume]:
    """Write down what is missing in a pool, as far as there is room for it, and have it made; the new intents.

    What is counted is available, in creation, or written down already: all are rows. Cinder is asked how much the account
    may still have, a part of which is left to its users, and before any lock is taken. A pool for which there is no room
    pauses.

    Safe for two at once, of one pool or of two in one account: the account's pools are locked in the order of their keys,
    so the second counts what the first has written. Claims do not wait for that.
    """
    pool = _fillable().select_related("account").filter(pk=pool_id).first()
    if pool is None or pool.lacks_its_source or _missing(pool) <= 0:
        return []
    room = fetch_remaining_quota(pool.account, pool.region)
    if room is None:
        return []
    with transaction.atomic():
        locked = VolumePool.objects.select_for_update(no_key=True).filter(account=pool.account_id)
        if pool_id not in [one.pk for one in locked.order_by("pk")]:
            return []
        # As it is now: somebody may have edited it while Cinder was asked.
        pool = _fillable().select_related("account").filter(pk=pool_id).first()
        if pool is None or pool.lacks_its_source:
            return []
        missing = min(_missing(pool), _may_be_asked_for(pool))
        if missing <= 0:
            return []
        fitting = min(missing, _fits(pool, room))
        if fitting <= 0:
            message = _("The account's quota has no room for another %(size)s GB of spares: %(room)s.")
            pause_pool(pool.pk, message % {"size": pool.size_gb, "room": room})
            return []
        intents = SpareVolume.objects.bulk_create(_intent(pool) for _number in range(fitting))
        engine.submit_many([Spec(CreateSpareCommand(str(intent.pk), pool.pk)) for intent in intents])
        return intents


def _missing(pool: VolumePool) -> int:
    """How many spares are to be made. Those of an older snapshot, or too old, are replaced: new ones first."""
    spares = SpareVolume.objects.filter(pool=pool)
    creating = spares.filter(status=SpareVolume.Status.CREATING).count()
    return pool.desired - spares.fresh(pool).count() - creating


def _may_be_asked_for(pool: VolumePool) -> int:
    """How many more may be asked for at once, of this pool and of its account. What users have asked for comes first."""
    creating = SpareVolume.objects.filter(status=SpareVolume.Status.CREATING)
    in_pool = creating.filter(pool=pool).count()
    in_account = creating.filter(pool__account=pool.account_id).count()
    most: int = settings.POOL_IN_FLIGHT_PER_ACCOUNT
    of_users = Volume.objects.filter(account=pool.account_id, volume_id=None).count()
    return min(pool.max_in_flight - in_pool, most - in_account - of_users)


def _fits(pool: VolumePool, room: Room) -> int:
    """How many fit into what Cinder has left, once all that is written down and may not be counted there yet is taken off."""
    spares = SpareVolume.objects.filter(
        pool__account=pool.account_id, region=pool.region, status=SpareVolume.Status.CREATING
    )
    volumes = Volume.objects.filter(account=pool.account_id, region=pool.region, volume_id=None)
    waiting = [one.aggregate(count=Count("pk"), size=Sum("size_gb")) for one in (spares, volumes)]
    return room.fits(
        pool.size_gb,
        pool.volume_type,
        volumes=sum(one["count"] for one in waiting),
        gigabytes=sum(one["size"] or 0 for one in waiting),
    )


def _intent(pool: VolumePool) -> SpareVolume:
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
