"""How full the pools are, and were: what is written down of it, what is read again, and what is forgotten."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from ..models import PoolClaim, PoolStock, SpareVolume, VolumePool

# A pool whose figures stay the same is written down so often: the plot can tell "the same" from "nobody looked".
AT_LEAST_EVERY = timedelta(minutes=5)
# What figures and suggestions look back on: claims are kept that long, whatever the settings say.
LOOKED_BACK = timedelta(days=14)
POINTS = 288


@dataclass(frozen=True, slots=True)
class Stock:
    """How many spares of a pool can be claimed now, are being made, and are being removed."""

    available: int = 0
    creating: int = 0
    removing: int = 0


def count_stock(pool_ids: Collection[int]) -> dict[int, Stock]:
    """The stock of some pools, by their keys: one query. A pool without spares is not in it."""
    claimable = Q(pk__in=SpareVolume.objects.claimable().order_by().values("pk"))
    rows = SpareVolume.objects.filter(pool__in=pool_ids).order_by().values("pool")
    counts: Any = rows.annotate(
        available=Count("pk", filter=claimable),
        creating=Count("pk", filter=Q(status=SpareVolume.Status.CREATING)),
        removing=Count("pk", filter=Q(status=SpareVolume.Status.REMOVING)),
    )
    return {row.pop("pool"): Stock(**row) for row in counts}


def record_stock() -> int:
    """Write down how full each pool is that is on; how many rows that were. Four statements, however many pools there are.

    A row is written when something has changed, and else every few minutes. Two at once write a row too many, no more.
    """
    now = timezone.now()
    desired = dict(VolumePool.objects.filter(enabled=True).order_by().values_list("pk", "desired"))
    stock = count_stock(desired)
    lately = PoolStock.objects.filter(pool__in=desired, at__gt=now - AT_LEAST_EVERY)
    last = {
        row["pool_id"]: row
        for row in lately.order_by("pool_id", "-at", "-pk")
        .distinct("pool_id")
        .values("pool_id", "desired", "available", "creating")
    }
    found = [
        {
            "pool_id": pool_id,
            "desired": count,
            "available": stock.get(pool_id, Stock()).available,
            "creating": stock.get(pool_id, Stock()).creating,
        }
        for pool_id, count in desired.items()
    ]
    rows = [PoolStock(at=now, **row) for row in found if row != last.get(row["pool_id"])]
    return len(PoolStock.objects.bulk_create(rows))


def prune(batch: int = 5000) -> None:
    """Forget old stock and old claims, in batches."""
    kept = timedelta(days=settings.POOL_HISTORY_DAYS)
    now = timezone.now()
    _delete_in_batches(PoolStock.objects.filter(at__lt=now - kept), batch)
    _delete_in_batches(PoolClaim.objects.filter(at__lt=now - max(kept, LOOKED_BACK)), batch)


def _delete_in_batches(rows: QuerySet[Any], batch: int) -> None:
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:batch]):
        rows.model.objects.filter(pk__in=ids).delete()


@dataclass(slots=True)
class Point:
    """A pool between two moments. What nobody has looked at is None, never zero.

    `available_avg` is weighed by how long it was so; `creating` is the most, `desired` what it was last.
    """

    at: datetime
    available_min: int | None = None
    available_avg: float | None = None
    creating: int | None = None
    desired: int | None = None
    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """A pool over time: points of equal length, the oldest first; the last one is still going on."""

    since: datetime
    until: datetime
    seconds_per_point: int
    points: list[Point]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known of that time."""
        return not any(point.desired is not None or point.hits or point.misses for point in self.points)


def build_history(pool_id: int, days: int) -> History:
    """The last days of a pool: so many points whatever the days are, put together by the database in two statements."""
    now = timezone.now()
    # Points begin at multiples of their length, so that they stay where they are from one look to the next.
    length = timedelta(days=days) // POINTS
    seconds = int(length.total_seconds())
    until = datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, UTC)
    since = until - POINTS * length
    points = [Point(since + number * length) for number in range(POINTS)]
    # Of a pool that was written down no more, because it or the portal was off, nothing is known soon after.
    known = max(3 * AT_LEAST_EVERY, 3 * timedelta(seconds=settings.POOL_BACKFILL_SECONDS))
    given: dict[str, Any] = {
        "pool": pool_id,
        "since": since,
        "now": now,
        "length": length,
        "seconds": seconds,
        "known": known,
    }
    with connection.cursor() as cursor:
        cursor.execute(STOCK_BY_POINT, given)
        for number, lowest, mean, creating, desired in cursor.fetchall():
            point = points[number]
            point.available_min, point.available_avg = lowest, round(float(mean), 2)
            point.creating, point.desired = creating, desired
        cursor.execute(CLAIMS_BY_POINT, given)
        for number, hits, misses in cursor.fetchall():
            points[number].hits, points[number].misses = hits, misses
    return History(since, until, seconds, points)


# Each row is true until the next one. It is cut where points begin, so that each point weighs what was true in it.
STOCK_BY_POINT = """
    WITH seen AS (
        SELECT id, at, desired, available, creating,
            LEAST(lead(at) OVER (ORDER BY at, id), at + %(known)s, %(now)s) AS until
        FROM volumepool_poolstock
        WHERE pool_id = %(pool)s AND at > %(since)s - %(known)s AND at < %(now)s
    ), piece AS (
        SELECT seen.*, number, extract(epoch FROM LEAST(until, %(since)s + (number + 1) * %(length)s)
            - GREATEST(at, %(since)s + number * %(length)s)) AS lasted
        FROM seen, generate_series(
            GREATEST(0, floor(extract(epoch FROM at - %(since)s) / %(seconds)s)::int),
            floor(extract(epoch FROM until - %(since)s) / %(seconds)s)::int
        ) AS number
    )
    SELECT number, min(available), sum(available * lasted) / sum(lasted), max(creating),
        (array_agg(desired ORDER BY at DESC, id DESC))[1]
    FROM piece WHERE lasted > 0 GROUP BY number
"""
CLAIMS_BY_POINT = """
    SELECT floor(extract(epoch FROM at - %(since)s) / %(seconds)s)::int AS number, sum(taken), sum(made)
    FROM volumepool_poolclaim WHERE pool_id = %(pool)s AND at >= %(since)s AND at <= %(now)s GROUP BY number
"""
