"""What a pool is worth: how often it had a spare, what that saved, and how many it should keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum
from django.utils import timezone

from ..models import PoolClaim, SpareVolume, VolumePool

# What is looked back on.
LOOKED_BACK = timedelta(days=14)
# A pool that is refilled quicker than this still meets claims that come at once.
SHORTEST_REFILL = 600.0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one pool. `hit_rate` is of the volumes wanted in the last two weeks, None when there were none."""

    available: int
    creating: int
    claimed_today: int
    hits: int
    misses: int
    hit_rate: float | None
    seconds_saved: float
    # The most volumes that were wanted within the time that a refill takes.
    suggested: int | None


def figures_of(pools: Sequence[VolumePool]) -> dict[int, Figures]:
    """The figures of some pools, by their keys: three queries."""
    ids = [pool.pk for pool in pools]
    now = timezone.now()
    spares = SpareVolume.objects.filter(pool__in=ids).order_by().values("pool")
    ready = Q(status=SpareVolume.Status.AVAILABLE)
    creating = Q(status=SpareVolume.Status.CREATING)
    stock: dict[int, Any] = {
        row["pool"]: row
        for row in spares.annotate(available=Count("pk", filter=ready), creating=Count("pk", filter=creating))
    }
    claims = PoolClaim.objects.filter(pool__in=ids, at__gt=now - LOOKED_BACK).order_by().values("pool")
    today = Q(at__gte=timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0))
    asked: dict[int, Any] = {
        row["pool"]: row
        for row in claims.annotate(
            hits=Sum("taken"),
            misses=Sum("made"),
            saved=Sum("seconds_saved"),
            taken_today=Sum("taken", filter=today),
            made_today=Sum("made", filter=today),
        )
    }
    peaks = _peaks(ids)
    return {
        pool.pk: _figures(stock.get(pool.pk, {}), asked.get(pool.pk, {}), peaks.get(pool.pk))
        for pool in pools
    }


def _figures(stock: dict[str, Any], asked: dict[str, Any], peak: int | None) -> Figures:
    hits, misses = asked.get("hits") or 0, asked.get("misses") or 0
    return Figures(
        available=stock.get("available", 0),
        creating=stock.get("creating", 0),
        claimed_today=(asked.get("taken_today") or 0) + (asked.get("made_today") or 0),
        hits=hits,
        misses=misses,
        hit_rate=round(hits / (hits + misses), 3) if hits + misses else None,
        seconds_saved=round(asked.get("saved") or 0.0, 1),
        suggested=peak,
    )


def _peaks(ids: list[int]) -> dict[int, int]:
    """The most that was wanted of each pool within the time in which a spare is made."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT id, max(wanted) FROM (
                SELECT pool.id, (
                    SELECT sum(near.taken + near.made) FROM volumepool_poolclaim AS near
                    WHERE near.pool_id = pool.id AND near.at <= claim.at AND near.at > claim.at
                        - make_interval(secs => GREATEST(COALESCE(pool.creation_seconds, 0), %(shortest)s))
                ) AS wanted
                FROM volumepool_volumepool AS pool JOIN volumepool_poolclaim AS claim ON claim.pool_id = pool.id
                WHERE pool.id = ANY(%(ids)s) AND claim.at > now() - make_interval(secs => %(back)s)
            ) AS each GROUP BY id
            """,
            {"ids": ids, "shortest": SHORTEST_REFILL, "back": LOOKED_BACK.total_seconds()},
        )
        return {pool_id: int(peak) for pool_id, peak in cursor.fetchall()}
