"""`/metrics` for Prometheus, read from the tables and from the broker at each scrape.

No process counts anything itself: every web process gives the same answer, and a restart loses nothing.
Unknown values are left out, and never shown as zero.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cloudaccounts.models import CloudAccount, SyncLog
from cloudaccounts.services.freshness import measure_staleness
from tasks import queues
from tasks.clock import database_now
from tasks.models import Job
from vms.models import Orphan, SyncState
from vms.services.status_sync import select_stale_states
from volumepool.models import Claim, OrphanVolume, VolumePool
from volumepool.services import select_stale_volume_states
from volumepool.services.stock import Stock, count_stock


class PortalCollector(Collector):
    """The portal's metrics, from a fixed number of small queries."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each metric with its labels."""
        summary = queues.summarize_jobs()
        yield _build_gauge(
            "portal_jobs",
            "Jobs that have not ended, by status.",
            "status",
            {row["status"]: row["count"] for row in summary.by_status},
        )
        yield _jobs_last_hour()
        yield GaugeMetricFamily(
            "portal_jobs_troubled",
            "Jobs that are stuck, or errored and not marked as handled.",
            summary.troubled_count,
        )
        yield GaugeMetricFamily("portal_jobs_overdue", "Jobs that are overdue.", summary.overdue)
        ages = {
            "portal_canary_age_seconds": (
                "Seconds since the last canary job ended.",
                summary.canary_seconds_ago,
            ),
            "portal_beat_age_seconds": ("Seconds since beat sent a task.", summary.beat_seconds_ago),
        }
        for name, (text, age) in ages.items():
            if age is not None:
                yield GaugeMetricFamily(name, text, age)
        if summary.broker is not None:
            served = summary.broker.served
            yield _build_gauge("portal_queue_messages", "Waiting messages.", "queue", summary.broker.depths)
            yield _build_gauge(
                "portal_queue_read",
                "Whether a worker reads the queue.",
                "queue",
                {name: int(name in served) for name in queues.known_queues()},
            )
        yield _build_gauge(
            "portal_queue_age_seconds",
            "Seconds for which the oldest work of a queue has been due; 0 without any. For autoscalers.",
            "queue",
            _measure_queue_ages(),
        )
        yield _vm_sync_age()
        yield GaugeMetricFamily(
            "portal_vm_sync_stale",
            "Accounts and regions whose VMs were not synced for three intervals.",
            select_stale_states().count(),
        )
        yield GaugeMetricFamily(
            "portal_volume_sync_stale",
            "Accounts and regions whose volumes were not synced for three intervals.",
            select_stale_volume_states().count(),
        )
        yield from _resource_sync()
        yield _clock_offsets()
        yield GaugeMetricFamily(
            "portal_orphans",
            "Objects in clouds that the portal created and has no record of, found twice and reported.",
            Orphan.objects.filter(reported_at__isnull=False).count(),
        )
        yield from _pools()


def _build_gauge(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _measure_queue_ages() -> dict[str, int]:
    """Return the ages of all queues but `sync`, whose listings are sent by their schedule alone."""
    ages = dict.fromkeys(queues.known_queues(), 0.0) | queues.measure_queue_ages()
    del ages["sync"]
    waiting = SyncLog.objects.running().filter(owner="").aggregate(at=Min("started_at"))["at"]
    if waiting is not None:
        ages["resources"] = max(0.0, (database_now() - waiting).total_seconds())
    return {queue: round(age) for queue, age in ages.items()}


def _jobs_last_hour() -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "portal_jobs_last_hour",
        "Jobs submitted in the last hour, by kind and status.",
        labels=["kind", "status"],
    )
    recent = Job.objects.filter(created_at__gt=timezone.now() - queues.AGES["under_an_hour"]).order_by()
    for kind, status, count in recent.values_list("kind", "status").annotate(count=Count("pk")):
        family.add_metric([kind, status], count)
    return family


def _vm_sync_age() -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "portal_vm_sync_age_seconds",
        "Seconds since the last complete listing of an account's VMs.",
        labels=["account", "account_id", "region"],
    )
    now = timezone.now()
    states = SyncState.objects.values_list("account__name", "account_id", "region", "listed_at")
    for account, account_id, region, listed_at in states:
        if listed_at is not None:
            family.add_metric([account, str(account_id), region], (now - listed_at).total_seconds())
    return family


def _clock_offsets() -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "portal_cloud_clock_offset_seconds",
        "Seconds by which the cloud's clock is ahead of the portal's at the last sync; negative if it is behind.",
        labels=["account", "account_id", "region"],
    )
    accounts = CloudAccount.objects.filter(active=True).order_by("pk")
    for name, account_id, offsets in accounts.values_list("name", "pk", "clock_offsets"):
        for region, offset in offsets.items():
            family.add_metric([name, str(account_id), region], offset)
    return family


def _resource_sync() -> Iterator[GaugeMetricFamily]:
    """Yield the age of each account's oldest type, and the number of stale accounts."""
    age = GaugeMetricFamily(
        "portal_resource_sync_age_seconds",
        "Seconds since the last successful sync of an account's resource type that was synced the longest ago.",
        labels=["account", "account_id"],
    )
    stale = 0
    for staleness in measure_staleness():
        age.add_metric([staleness.name, str(staleness.account_id)], staleness.seconds)
        stale += staleness.stale
    yield age
    yield GaugeMetricFamily(
        "portal_resource_sync_stale",
        "Accounts with a resource type that was not synced for three intervals.",
        stale,
    )
    yield _build_gauge(
        "portal_resource_syncs_running",
        "Resource syncs in progress, waiting for a worker or running.",
        "state",
        {
            "waiting": SyncLog.objects.running().filter(owner="").count(),
            "running": SyncLog.objects.running().exclude(owner="").count(),
        },
    )


def _pools() -> Iterator[GaugeMetricFamily]:
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
    yield _build_gauge(
        "portal_pool_strays", "Volumes with a pool's tag and without a record.", "account_id", orphans
    )


_registry = CollectorRegistry()
_registry.register(PortalCollector())


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to clients with `METRICS_TOKEN`. Without that setting, they are shown only outside production."""
    if not settings.METRICS_TOKEN and settings.PRODUCTION:
        raise Http404
    if settings.METRICS_TOKEN and not has_metrics_token(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)


def has_metrics_token(request: HttpRequest) -> bool:
    """Return whether a request has `METRICS_TOKEN`; False when the setting is empty."""
    token = settings.METRICS_TOKEN
    sent = request.headers.get("Authorization", "")
    return bool(token) and hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())
