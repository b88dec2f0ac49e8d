"""Syncs by day, for charts: how many succeeded and failed, and how long the successful ones took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Max, Q, QuerySet
from django.db.models.functions import TruncDay
from django.utils import timezone

from ..models import SyncLog

DAYS = 14


@dataclass(frozen=True, slots=True)
class DailySyncs:
    """The syncs that ended on one day; the mean and the longest duration of the successful ones in seconds, None without any."""

    day: datetime
    succeeded: int = 0
    failed: int = 0
    mean: float | None = None
    longest: float | None = None


def measure_daily_syncs(logs: QuerySet[SyncLog]) -> list[DailySyncs]:
    """Measure some syncs on each of the last 14 days: one query.

    A duration includes the time for which a sync waited for a worker. Days are those of the active time zone.
    """
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=DAYS - 1)
    took = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    succeeded = Q(state=SyncLog.State.SUCCESS)
    rows: Any = (
        logs.filter(ended_at__gte=since)
        .order_by()
        .annotate(day=TruncDay("ended_at"))
        .values("day")
        .annotate(
            succeeded=Count("pk", filter=succeeded),
            failed=Count("pk", filter=Q(state=SyncLog.State.FAILED)),
            mean=Avg(took, filter=succeeded),
            longest=Max(took, filter=succeeded),
        )
    )
    measured = {row["day"].date(): row for row in rows}
    days = [since + timedelta(days=number) for number in range(DAYS)]
    return [_build_day(day, measured.get(day.date())) for day in days]


def _build_day(day: datetime, row: dict[str, Any] | None) -> DailySyncs:
    if row is None:
        return DailySyncs(day)
    return DailySyncs(
        day, row["succeeded"], row["failed"], _to_seconds(row["mean"]), _to_seconds(row["longest"])
    )


def _to_seconds(took: timedelta | None) -> float | None:
    # A clock that was set back between start and end gives a negative duration.
    return None if took is None else max(0.0, took.total_seconds())
