"""End dates: they are announced, VMs are stopped after them, and extended VMs keep running."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from api.domain_errors import DomainError
from tasks.models import Job
from tests.working import work
from vms.models import VirtualMachine, VMOperationLog
from vms.services import control_vm, stop_at_runtime_end, warn_of_runtime_end

TODAY = timezone.localdate
DAY = timedelta(days=1)


@pytest.fixture
def running(vms_of):
    return vms_of(4, status="ACTIVE")


def ends(vm, day):
    VirtualMachine.objects.filter(pk=vm.pk).update(runtime_end=day)


def test_what_is_past_its_end_is_stopped_and_nothing_else(running, vms_of):
    over, today, later, never = running
    (stopped,) = vms_of(1, status="SHUTOFF")
    ends(over, TODAY() - DAY)
    ends(today, TODAY())
    ends(later, TODAY() + DAY)
    ends(stopped, TODAY() - DAY)

    assert stop_at_runtime_end() == 1

    work()
    assert VirtualMachine.objects.get(pk=over.pk).status == "stopped"
    others = VirtualMachine.objects.filter(pk__in=[today.pk, later.pk, never.pk])
    assert set(others.values_list("status", flat=True)) == {"running"}
    entry = VMOperationLog.objects.get()
    assert (entry.operation, entry.operator, entry.success) == ("stop", "", True)
    assert stop_at_runtime_end() == 0


def test_what_was_extended_meanwhile_keeps_running(running, cloud):
    vm = running[0]
    ends(vm, TODAY() - DAY)
    assert stop_at_runtime_end() == 1
    ends(vm, TODAY() + DAY)  # After the job was recorded, before a worker came to it.

    work()

    assert VirtualMachine.objects.get(pk=vm.pk).status == "running"
    assert cloud.accepted(vm.openstack_id, "os-stop") == 0
    job = Job.objects.get()
    assert (job.status, job.outcome_code) == ("failed", "extended")


def test_what_a_job_holds_is_left_to_the_next_round(running, scope):
    vm = running[0]
    ends(vm, TODAY() - DAY)
    control_vm(scope=scope, vm_id=vm.pk, action="restart")

    assert stop_at_runtime_end() == 0

    work()
    assert stop_at_runtime_end() == 1


def test_the_end_is_announced_once_for_each_date(running):
    vm = running[0]
    ends(vm, TODAY() + 2 * DAY)
    ends(running[1], TODAY() + 30 * DAY)

    assert [warn_of_runtime_end(), warn_of_runtime_end()] == [1, 0]
    ends(vm, TODAY() + 3 * DAY)
    assert warn_of_runtime_end() == 1

    entries = VMOperationLog.objects.filter(operation="runtime")
    assert set(entries.values_list("vm_id", flat=True)) == {vm.pk}
    assert str(TODAY() + 3 * DAY) in entries.first().detail


def test_what_is_over_is_not_started_before_it_is_extended(vms_of, scope):
    (vm,) = vms_of(1, status="SHUTOFF")
    ends(vm, TODAY() - DAY)

    with pytest.raises(DomainError) as refused:
        control_vm(scope=scope, vm_id=vm.pk, action="start")
    assert refused.value.code == "runtime_over"

    ends(vm, TODAY())
    assert control_vm(scope=scope, vm_id=vm.pk, action="start").changed
