"""What tenants use: their VMs by status, and the history, with a sample of all tenants every hour, and its pruning."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from tenants.models import Tenant
from tenants.scoping import Scope
from volumepool.models import Volume, VolumeSnapshot

from ..models import UsageSample, VirtualMachine, VMStatus, VMUsage
from ..queries import correct_vm_usage
from .reminders import record_nearly_used

log = structlog.get_logger(__name__)

KEPT_DAYS = 90


def count_vms_by_status(scope: Scope, **filters: Any) -> dict[str, int]:
    """Return the number of the scope's VMs outside the bin by status, the most frequent first. `filters` are lookups of `VMUsage`."""
    counts = (
        VMUsage.objects.within(scope)
        .filter(**filters)
        .exclude(status=VMUsage.IN_BIN)
        .values_list("status")
        .annotate(count=Sum("vms"))
        .filter(count__gt=0)
        .order_by("-count")
    )
    return dict(counts)


def check_usage() -> int:
    """Compare the rows that count VMs with the VMs, and correct them; return how many were wrong.

    Nothing known makes them wrong: triggers count whatever writes. A restore without triggers would.
    """
    if wrong := correct_vm_usage():
        log.warning("vm_usage_corrected", rows=wrong)
    return wrong


def record_usage(now: datetime | None = None) -> int:
    """Record what each tenant uses in this hour; return the number of samples. Seven queries for all tenants.

    Safe to run twice: the second sample of an hour is ignored.
    """
    at = (now or timezone.now()).replace(minute=0, second=0, microsecond=0)
    tenant = "information_system__tenant"
    by_tenant = {
        row[tenant]: row
        for row in VirtualMachine.objects.values(tenant)
        .annotate(
            vms=Count("pk"),
            cpu_cores=Sum("cpu_cores"),
            memory_gb=Sum("memory_gb"),
            disk_gb=Sum("disk_gb"),
            running=Count("pk", filter=Q(status=VMStatus.RUNNING)),
            stopped=Count("pk", filter=Q(status=VMStatus.STOPPED)),
            error=Count("pk", filter=Q(status=VMStatus.ERROR)),
        )
        .order_by()
    }
    # A boot volume is counted as the disk of its VM, as in the quota.
    data_volumes = _sum_sizes(Volume.objects.exclude(is_boot=True, vm__isnull=False))
    snapshots = _sum_sizes(VolumeSnapshot.objects.all())
    samples = [
        _build_sample(pk, at, by_tenant.get(pk, {}), data_volumes.get(pk, 0) + snapshots.get(pk, 0))
        for pk in Tenant.objects.values_list("pk", flat=True)
    ]
    record_nearly_used(samples, at)
    UsageSample.objects.bulk_create(samples, ignore_conflicts=True, batch_size=1000)
    return len(samples)


def prune_usage(now: datetime | None = None) -> int:
    """Delete the samples that are older than 90 days; return their number."""
    oldest = (now or timezone.now()) - timedelta(days=KEPT_DAYS)
    return UsageSample.objects.filter(at__lt=oldest).delete()[0]


def list_usage(scope: Scope, days: int) -> list[UsageSample]:
    """Return the samples of the scope's tenant of the last days, the oldest first; at most one an hour."""
    if scope.tenant is None:
        return []
    since = timezone.now() - timedelta(days=days)
    return list(UsageSample.objects.within(scope).filter(at__gte=since).order_by("at"))


def _sum_sizes(rows: QuerySet[Any]) -> dict[Any, int]:
    """Return the size in GB by tenant, without what no longer exists in the cloud."""
    by_tenant = rows.exclude(status="gone").values_list("information_system__tenant")
    return dict(by_tenant.annotate(size=Coalesce(Sum("size_gb"), 0)).order_by())


def _build_sample(tenant_id: UUID, at: datetime, figures: dict[str, int], volumes_gb: int) -> UsageSample:
    names = ("vms", "cpu_cores", "memory_gb", "running", "stopped", "error")
    counts = {name: figures.get(name) or 0 for name in names}
    return UsageSample(
        tenant_id=tenant_id, at=at, disk_gb=(figures.get("disk_gb") or 0) + volumes_gb, **counts
    )
