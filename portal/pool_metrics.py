"""The metrics of volume pools."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from volumepool.models import Claim, OrphanVolume, VolumePool
from volumepool.services.stock import Stock, count_stock


def build_pool_metrics() -> Iterator[GaugeMetricFamily]:
    """Yield the fill and the hit rate of each pool, from four queries."""
    labels = ["pool", "account_id"]
    spares = GaugeMetricFamily(
        "portal_pool_spares",
        "Spare volumes, by status; 'available' can be claimed.",
        labels=[*labels, "status"],
    )
    desired = GaugeMetricFamily(
        "portal_pool_desired", "Desired number of spares; 0 for a disabled pool.", labels=labels
    )
    claims = GaugeMetricFamily(
        "portal_pool_claims_last_day",
        "Volumes requested in the last day: hits came from the pool, misses had to be created.",
        labels=[*labels, "result"],
    )
    hit_rates = GaugeMetricFamily(
        "portal_pool_hit_rate",
        "Share of the volumes requested in the last day that came from the pool.",
        labels=labels,
    )
    paused_pools = GaugeMetricFamily(
        "portal_pool_paused", "1 while the pool requests no spares because the cloud refused.", labels=labels
    )
    missing_sources = GaugeMetricFamily(
        "portal_pool_source_missing",
        "1 while there is no source from which spares can be created.",
        labels=labels,
    )
    pools = list(VolumePool.objects.select_related("account").order_by("type", "account_id"))
    ids = [pool.pk for pool in pools]
    stock = count_stock(ids)
    claims_last_day = Claim.objects.filter(pool__in=ids, at__gt=timezone.now() - timedelta(days=1)).order_by()
    hits_and_misses = {
        row[0]: row[1:] for row in claims_last_day.values_list("pool").annotate(Sum("taken"), Sum("made"))
    }
    for pool in pools:
        pool_labels = [pool.type, str(pool.account_id)]
        now = stock.get(pool.pk, Stock())
        for status in ("available", "creating", "removing"):
            spares.add_metric([*pool_labels, status], getattr(now, status))
        desired.add_metric(pool_labels, pool.desired if pool.enabled and pool.account.active else 0)
        hits, misses = hits_and_misses.get(pool.pk, (0, 0))
        claims.add_metric([*pool_labels, "hit"], hits)
        claims.add_metric([*pool_labels, "miss"], misses)
        if hits + misses:
            hit_rates.add_metric(pool_labels, hits / (hits + misses))
        paused_pools.add_metric(pool_labels, int(pool.is_paused))
        missing_sources.add_metric(pool_labels, int(pool.has_source_problem))
    yield from (spares, desired, claims, hit_rates, paused_pools, missing_sources)
    orphans = dict.fromkeys((str(pool.account_id) for pool in pools), 0)
    orphan_counts = OrphanVolume.objects.order_by().values_list("account_id").annotate(Count("pk"))
    orphans |= {str(account_id): count for account_id, count in orphan_counts}
    strays = GaugeMetricFamily(
        "portal_pool_strays", "Volumes with a pool's tag and without a record.", labels=["account_id"]
    )
    for account_id, count in orphans.items():
        strays.add_metric([account_id], count)
    yield strays
