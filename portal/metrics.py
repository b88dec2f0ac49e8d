"""`/metrics` for Prometheus, read from the tables, from the broker and from the shared counts at each scrape.

No process keeps counts of its own (`api/shared_metrics.py`): every web process gives the same answer, and a restart loses
nothing. Unknown values are left out, and never shown as zero. When the database does not answer, `portal_database_up` is 0
and everything that the tables know is missing. docs/monitoring.md explains each metric.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.shared_metrics import read_metrics
from cloudaccounts.models import CloudAccount, SyncLog
from cloudaccounts.services.freshness import measure_staleness
from tasks import queues
from tasks.clock import database_now
from tasks.models import Job
from vms.models import Orphan, SyncState
from vms.services.status_sync import select_stale_states
from volumepool.services import select_stale_volume_states

from .database_metrics import build_database_metrics, fetch_database_status
from .pool_metrics import build_pool_metrics
from .replica_metrics import build_replica_metrics


class PortalCollector(Collector):
    """The portal's metrics, from a fixed number of small queries."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its labels."""
        yield from _broker_metrics()
        database = fetch_database_status()
        yield from build_database_metrics(database)
        yield from build_replica_metrics()
        if database is not None:
            yield from self._collect_tables()

    def _collect_tables(self) -> Iterator[Metric]:
        summary = queues.summarize_jobs()
        yield _queue_ages(
            "portal_queue_age_seconds",
            "Seconds for which the oldest work of a queue that is due has waited for a worker; 0 without any.",
            _measure_queue_ages(),
        )
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
        yield from build_pool_metrics()


def _broker_metrics() -> Iterator[Metric]:
    """Yield the metrics of the queues, and those that all processes have counted, which are stored in the broker."""
    broker = queues.broker_status()
    yield GaugeMetricFamily("portal_broker_up", "Whether the broker answers.", int(broker is not None))
    if broker is not None:
        names = queues.known_queues()
        yield _build_gauge("portal_queue_messages", "Waiting messages.", "queue", broker.depths)
        yield _queue_ages(
            "portal_queue_oldest_message_age_seconds",
            "Seconds since the oldest waiting message was sent; 0 for an empty queue.",
            broker.ages,
        )
        yield _build_gauge(
            "portal_queue_read",
            "Whether a worker reads the queue.",
            "queue",
            {name: int(name in broker.served) for name in names},
        )
        yield _build_gauge(
            "portal_queue_workers",
            "Workers that read the queue.",
            "queue",
            {name: broker.count_workers(name) for name in names},
        )
        yield from read_metrics() or []


def _queue_ages(name: str, text: str, ages: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["queue"])
    for queue, age in sorted(ages.items()):
        family.add_metric([queue], age)
    return family


def _build_gauge(name: str, text: str, label: str, values: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _measure_queue_ages() -> dict[str, float]:
    """Return the ages of all queues but `sync`, whose listings are sent by their schedule alone."""
    ages = dict.fromkeys(queues.known_queues(), 0.0) | queues.measure_queue_ages()
    del ages["sync"]
    waiting = SyncLog.objects.running().filter(owner="").aggregate(at=Min("started_at"))["at"]
    if waiting is not None:
        ages["resources"] = max(0.0, (database_now() - waiting).total_seconds())
    return ages


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
