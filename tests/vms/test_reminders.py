"""Reminders: a quota that has become nearly used, and VMs that end soon; each is told once."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from events.labels import label_event
from events.models import Event
from tests.factories import InformationSystemFactory, TenantFactory, VirtualMachineFactory
from vms.services.reminders import record_ends
from vms.services.usage import record_usage

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 9, 20, 30, tzinfo=ZoneInfo("UTC"))  # In Shanghai, it is the 10th already.


def told(code: str) -> list[tuple[str, str]]:
    events = Event.objects.filter(code=code).order_by("id")
    return [(event.object_name, label_event(event)) for event in events]


def test_a_quota_is_told_once_when_it_becomes_nearly_used() -> None:
    tenant = TenantFactory(name="Shop", quota_vms=5, quota_cpu_cores=100)
    system = InformationSystemFactory(tenant=tenant)
    VirtualMachineFactory.create_batch(3, information_system=system)
    other = VirtualMachineFactory(information_system__tenant__quota_vms=1)  # It was full before already.
    record_usage(NOW)
    assert told("quota.nearly_used") == []

    VirtualMachineFactory(information_system=system)
    for hours in (1, 1, 2):
        record_usage(NOW + timedelta(hours=hours))
    assert told("quota.nearly_used") == [("Shop", "Quota nearly used: 4 of 5 VMs")]
    assert other.information_system.tenant.name not in str(told("quota.nearly_used"))


def test_a_vm_is_told_a_week_and_a_day_before_its_end_in_the_tenants_time_zone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    system = InformationSystemFactory(tenant__time_zone="Asia/Shanghai")
    ends = {"week": 17, "later": 18, "tomorrow": 11, "today": 10, "over": 9}
    for name, day in ends.items():
        VirtualMachineFactory(
            information_system=system, name=name, runtime_end=datetime(2026, 3, day, tzinfo=NOW.tzinfo).date()
        )
    VirtualMachineFactory(
        information_system=system, name="binned", runtime_end=NOW.date(), binned_at=NOW, bin_until=NOW
    )

    assert record_ends(NOW) == 3
    assert record_ends(NOW) == 0

    assert sorted(told("vm.ends_soon")) == [
        ("today", "VM ends on 2026-03-10"),
        ("tomorrow", "VM ends on 2026-03-11"),
        ("week", "VM ends on 2026-03-17"),
    ]
    monkeypatch.setattr(timezone, "now", lambda: NOW + timedelta(days=6))
    record_ends(NOW + timedelta(days=6))
    assert [name for name, _label in told("vm.ends_soon")].count("week") == 2
