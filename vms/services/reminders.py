"""Events that remind people in time: a quota that is nearly used, and VMs that end soon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils import timezone

from events.models import Event
from events.reminders import DAYS_BEFORE, Reminder, record_reminders
from tenants.models import Tenant

from ..models import UsageSample, VirtualMachine

# The share of a quota from which on it is nearly used.
NEARLY = 0.8
QUOTAS = {
    "vms": "quota_vms",
    "cpu_cores": "quota_cpu_cores",
    "memory_gb": "quota_memory_gb",
    "disk_gb": "quota_disk_gb",
}


def record_nearly_used(samples: Iterable[UsageSample], at: datetime) -> int:
    """Record an event for each quota that is nearly used now and was not at the sample before; return their number.

    Call it before the samples of the hour are written. A tenant that has a sample of this hour already was told then. Without a
    sample before, nothing is told: it would be no news.
    """
    tenants = {tenant.pk: tenant for tenant in Tenant.objects.filter(active=True)}
    told = set(UsageSample.objects.filter(at=at).values_list("tenant", flat=True))
    latest = UsageSample.objects.filter(at__lt=at, at__gte=at - timedelta(days=2))
    before = {one.tenant_id: one for one in latest.order_by("tenant_id", "-at").distinct("tenant_id")}
    events = []
    for sample in samples:
        tenant, old = tenants.get(sample.tenant_id), before.get(sample.tenant_id)
        if tenant is None or old is None or sample.tenant_id in told:
            continue
        for name, quota_name in QUOTAS.items():
            quota = getattr(tenant, quota_name)
            if quota and getattr(old, name) < NEARLY * quota <= getattr(sample, name):
                figures = {"resource": name, "used": getattr(sample, name), "quota": quota}
                events.append(
                    Event(
                        code="quota.nearly_used",
                        tenant_id=tenant.pk,
                        object_type="tenant",
                        object_id=str(tenant.pk),
                        object_name=tenant.name,
                        parameters=figures,
                    )
                )
    Event.objects.bulk_create(events, batch_size=1000)
    return len(events)


def record_ends(now: datetime | None = None) -> int:
    """Record an event for each VM that ends in seven days or in one, once for each; return their number.

    Days are those of the tenant's time zone. Safe to run every hour.
    """
    now = now or timezone.now()
    near = now.date() + timedelta(days=max(DAYS_BEFORE) + 1)
    found = VirtualMachine.objects.filter(
        runtime_end__isnull=False,
        runtime_end__lte=near,
        runtime_end__gte=now.date() - timedelta(days=1),
        bin_until=None,
        information_system__tenant__active=True,
    )
    reminders = []
    for vm in found.select_related("information_system__tenant").order_by("pk"):
        tenant = vm.information_system.tenant
        left = (vm.runtime_end - tenant.today()).days
        days = next((days for days in sorted(DAYS_BEFORE) if 0 <= left <= days), None)
        if days is not None:
            end = f"{vm.runtime_end:%Y-%m-%d}"
            reminders.append(Reminder(tenant.pk, "vm", str(vm.pk), vm.name, end, days))
    return record_reminders("vm.ends_soon", reminders, now)
