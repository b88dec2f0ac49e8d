"""Count the stock of the pools, record it, and build its history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from ..models import Claim, PoolStock, SpareVolume, VolumePool
from ..queries import CLAIMS_BY_POINT, STOCK_BY_POINT

# A stock that does not change is recorded this often, so that the chart can tell "unchanged" from "not recorded".
RECORD_AT_LEAST_EVERY = timedelta(minutes=5)
# The time that figures and suggestions cover. Claims are kept this long, whatever the settings say.
FIGURES_PERIOD = timedelta(days=14)
POINTS = 288


@dataclass(frozen=True, slots=True)
class Stock:
    """The spares of a pool that can be claimed, are being created, and are being deleted."""

    available: int = 0
    creating: int = 0
    removing: int = 0


def count_stock(pool_ids: Collection[int]) -> dict[int, Stock]:
    """Count the stock of some pools, by their keys: one query. A pool without spares is left out."""
    claimable = Q(pk__in=SpareVolume.objects.claimable().order_by().values("pk"))
    rows = SpareVolume.objects.filter(pool__in=pool_ids).order_by().values("pool")
    counts: Any = rows.annotate(
        available=Count("pk", filter=claimable),
        creating=Count("pk", filter=Q(status=SpareVolume.Status.CREATING)),
        removing=Count("pk", filter=Q(status=SpareVolume.Status.REMOVING)),
    )
    return {row.pop("pool"): Stock(**row) for row in counts}


def record_stock() -> int:
    """Record the stock of each enabled pool; return the number of new rows. Four statements for any number of pools.

    A row is written when the stock has changed, and at least every `RECORD_AT_LEAST_EVERY`. Two simultaneous runs
    write a row twice, which does no harm.
    """
    now = timezone.now()
    desired = dict(VolumePool.objects.filter(enabled=True).order_by().values_list("pk", "desired"))
    stock = count_stock(desired)
    lately = PoolStock.objects.filter(pool__in=desired, at__gt=now - RECORD_AT_LEAST_EVERY)
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


def prune_history(batch: int = 5000) -> None:
    """Delete old stock rows and old claims, in batches."""
    retention = timedelta(days=settings.POOL_HISTORY_DAYS)
    now = timezone.now()
    _delete_in_batches(PoolStock.objects.filter(at__lt=now - retention), batch)
    _delete_in_batches(Claim.objects.filter(at__lt=now - max(retention, FIGURES_PERIOD)), batch)


def _delete_in_batches(rows: QuerySet[Any], batch: int) -> None:
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:batch]):
        rows.model.objects.filter(pk__in=ids).delete()


@dataclass(slots=True)
class Point:
    """A pool over one interval of time. A figure that was not recorded is None, never zero.

    `available_avg` is weighted by time; `creating` is the maximum, `desired` the last value.
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
    """A pool over time: points of equal length, the oldest first. The last one has not ended yet."""

    since: datetime
    until: datetime
    seconds_per_point: int
    points: list[Point]

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was recorded in that time."""
        return not any(point.desired is not None or point.hits or point.misses for point in self.points)


def build_history(pool_id: int, days: int) -> History:
    """Build the history of the last days of a pool: `POINTS` points, summed up by the database in two statements."""
    now = timezone.now()
    # Points begin at multiples of their length, so that they do not move from one request to the next.
    length = timedelta(days=days) // POINTS
    seconds = int(length.total_seconds())
    until = datetime.fromtimestamp((int(now.timestamp()) // seconds + 1) * seconds, UTC)
    since = until - POINTS * length
    points = [Point(since + number * length) for number in range(POINTS)]
    # The last row before a gap (the pool was disabled or the portal was down) holds for this long.
    validity = max(3 * RECORD_AT_LEAST_EVERY, 3 * timedelta(seconds=settings.POOL_BACKFILL_SECONDS))
    params: dict[str, Any] = {
        "pool": pool_id,
        "since": since,
        "now": now,
        "length": length,
        "seconds": seconds,
        "known": validity,
    }
    with connection.cursor() as cursor:
        cursor.execute(STOCK_BY_POINT, params)
        for number, lowest, mean, creating, desired in cursor.fetchall():
            point = points[number]
            point.available_min, point.available_avg = lowest, round(float(mean), 2)
            point.creating, point.desired = creating, desired
        cursor.execute(CLAIMS_BY_POINT, params)
        for number, hits, misses in cursor.fetchall():
            points[number].hits, points[number].misses = hits, misses
    return History(since, until, seconds, points)
