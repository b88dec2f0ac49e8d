"""What a pool is worth: how often it had a spare, what that saved, and how many it should keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import PoolClaim, VolumePool
from .stock import LOOKED_BACK, Stock, count_stock

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
    # How many claims got less out of it than they wanted; `misses` are the volumes that they lacked.
    found_empty: int
    hit_rate: float | None
    seconds_saved: float
    # The most volumes that were wanted within the time that a refill takes.
    suggested: int | None


class PoolState(TextChoices):
    """How a pool does, in a word."""

    OFF = "off", _("switched off")  # or its account is
    SOURCE_MISSING = "source_missing", _("snapshot missing")  # nothing can be made for it now
    PAUSED = "paused", _("paused")  # the cloud has refused; it is asked again later
    NONE_KEPT = "none_kept", _("none is kept")  # nothing is desired
    FILLING = "filling", _("filling")  # fewer than desired can be claimed
    FULL = "full", _("filled")  # as many as desired can be claimed


def is_paused(pool: VolumePool) -> bool:
    """Whether nothing is asked for now, as the cloud has refused."""
    return pool.is_paused


def lacks_its_source(pool: VolumePool) -> bool:
    """Whether there is nothing that spares of it can be made from."""
    return pool.lacks_its_source or bool(pool.source_error)


def derive_state(pool: VolumePool, available: int) -> PoolState:
    """The state of a pool: first what keeps it from being filled."""
    if not (pool.enabled and pool.account.active):
        return PoolState.OFF
    if lacks_its_source(pool):
        return PoolState.SOURCE_MISSING
    if available < pool.desired:
        return PoolState.PAUSED if is_paused(pool) else PoolState.FILLING
    return PoolState.FULL if pool.desired else PoolState.NONE_KEPT


def compute_figures(pools: Sequence[VolumePool]) -> dict[int, Figures]:
    """The figures of some pools, by their keys: three queries."""
    ids = [pool.pk for pool in pools]
    now = timezone.now()
    stock = count_stock(ids)
    claims = PoolClaim.objects.filter(pool__in=ids, at__gt=now - LOOKED_BACK).order_by().values("pool")
    today = Q(at__gte=timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0))
    asked: dict[int, Any] = {
        row["pool"]: row
        for row in claims.annotate(
            hits=Sum("taken"),
            misses=Sum("made"),
            found_empty=Count("pk", filter=Q(made__gt=0)),
            saved=Sum("seconds_saved"),
            taken_today=Sum("taken", filter=today),
            made_today=Sum("made", filter=today),
        )
    }
    peaks = _peaks(ids)
    return {
        pool.pk: _figures(stock.get(pool.pk, Stock()), asked.get(pool.pk, {}), peaks.get(pool.pk))
        for pool in pools
    }


def _figures(stock: Stock, asked: dict[str, Any], peak: int | None) -> Figures:
    hits, misses = asked.get("hits") or 0, asked.get("misses") or 0
    return Figures(
        available=stock.available,
        creating=stock.creating,
        claimed_today=(asked.get("taken_today") or 0) + (asked.get("made_today") or 0),
        hits=hits,
        misses=misses,
        found_empty=asked.get("found_empty", 0),
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
