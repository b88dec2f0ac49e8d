"""Backfill: what is missing in a pool is written down, and a job made of each."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from tasks import engine

from ..commands import CreateSpare
from ..models import SpareVolume, VolumePool


def pools_to_fill() -> list[int]:
    """Pools that may need more spares: those that are on, not paused, and whose account is on."""
    ready = Q(paused_until=None) | Q(paused_until__lt=Now())
    pools = VolumePool.objects.filter(ready, enabled=True, desired__gt=0, account__active=True)
    return list(pools.order_by("pk").values_list("pk", flat=True))


def backfill(pool_id: int) -> list[SpareVolume]:
    """Write down what is missing in a pool, as far as it may be asked for at once, and have it made; the new intents.

    What is counted is available, in creation, or written down already: all are rows. Safe for two at once: the pool's row
    is locked, so the second counts what the first has written.
    """
    with transaction.atomic():
        ready = Q(paused_until=None) | Q(paused_until__lt=Now())
        pools = VolumePool.objects.select_for_update(of=("self",)).select_related("account")
        pool = pools.filter(ready, pk=pool_id, enabled=True, account__active=True).first()
        if pool is None or pool.lacks_its_source:
            return []
        spares = SpareVolume.objects.filter(pool=pool)
        creating = spares.filter(status=SpareVolume.Status.CREATING).count()
        # The others, of an older snapshot or too old, are replaced: new ones first.
        fresh = spares.fresh(pool).count()
        missing = min(pool.desired - fresh - creating, pool.max_in_flight - creating)
        intents = [_intent(pool) for _number in range(max(0, missing))]
        SpareVolume.objects.bulk_create(intents)
        for intent in intents:
            engine.submit(CreateSpare(str(intent.pk)))
        return intents


def _intent(pool: VolumePool) -> SpareVolume:
    spare = SpareVolume(
        pool=pool,
        region=pool.region,
        size_gb=pool.size_gb,
        volume_type=pool.volume_type,
        availability_zone=pool.availability_zone,
        snapshot_id=pool.source_snapshot_id,
    )
    spare.name = f"spare-{pool.type}-{str(spare.pk)[:8]}"
    return spare
