"""Figures of pools: stock, hit rate, saved waiting time, suggested size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..models import Claim, VolumePool
from ..queries import MEASURE_PEAKS
from .stock import FIGURES_PERIOD, Stock, count_stock

# In seconds. Claims within this time count as simultaneous, however fast the pool is refilled.
MIN_REFILL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """The figures of one pool. `hit_rate` covers the claims of the last two weeks; None when there were none."""

    available: int
    creating: int
    claimed_today: int
    hits: int
    misses: int
    # The claims that found too few spares; `misses` counts the volumes that were created for them.
    found_empty: int
    hit_rate: float | None
    seconds_saved: float
    # The most volumes that were claimed within the time of a refill.
    suggested: int | None


class PoolState(TextChoices):
    """The state of a pool."""

    OFF = "off", _("disabled")  # or its account is
    SOURCE_MISSING = "source_missing", _("snapshot missing")  # no spare can be created now
    PAUSED = "paused", _("paused")  # the cloud has refused; the backfill tries again later
    NONE_KEPT = "none_kept", _("no spares kept")  # desired is 0
    FILLING = "filling", _("refilling")  # fewer than desired can be claimed
    FULL = "full", pgettext_lazy("pool", "full")  # as many as desired can be claimed


def derive_state(pool: VolumePool, available: int) -> PoolState:
    """Return the state of a pool; a state that prevents a refill comes first."""
    if not (pool.enabled and pool.account.active):
        return PoolState.OFF
    if pool.has_source_problem:
        return PoolState.SOURCE_MISSING
    if available < pool.desired:
        return PoolState.PAUSED if pool.is_paused else PoolState.FILLING
    return PoolState.FULL if pool.desired else PoolState.NONE_KEPT


def compute_figures(pools: Sequence[VolumePool]) -> dict[int, PoolFigures]:
    """Compute the figures of some pools, by their keys: three queries."""
    ids = [pool.pk for pool in pools]
    now = timezone.now()
    stock = count_stock(ids)
    claims = Claim.objects.filter(pool__in=ids, at__gt=now - FIGURES_PERIOD).order_by().values("pool")
    today = Q(at__gte=timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0))
    claim_totals: dict[int, Any] = {
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
    peaks = _measure_peaks(ids)
    return {
        pool.pk: _build_figures(
            stock.get(pool.pk, Stock()), claim_totals.get(pool.pk, {}), peaks.get(pool.pk)
        )
        for pool in pools
    }


def _build_figures(stock: Stock, totals: dict[str, Any], peak: int | None) -> PoolFigures:
    hits, misses = totals.get("hits") or 0, totals.get("misses") or 0
    return PoolFigures(
        available=stock.available,
        creating=stock.creating,
        claimed_today=(totals.get("taken_today") or 0) + (totals.get("made_today") or 0),
        hits=hits,
        misses=misses,
        found_empty=totals.get("found_empty", 0),
        hit_rate=round(hits / (hits + misses), 3) if hits + misses else None,
        seconds_saved=round(totals.get("saved") or 0.0, 1),
        suggested=peak,
    )


def _measure_peaks(ids: list[int]) -> dict[int, int]:
    """Return the most volumes that were claimed of each pool within the time of a refill."""
    with connection.cursor() as cursor:
        cursor.execute(
            MEASURE_PEAKS,
            {"ids": ids, "shortest": MIN_REFILL_SECONDS, "back": FIGURES_PERIOD.total_seconds()},
        )
        return {pool_id: int(peak) for pool_id, peak in cursor.fetchall()}
