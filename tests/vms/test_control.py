"""Start, stop and restart, from the request to the final status, with faults in between."""

from __future__ import annotations

import pytest
from django.utils import timezone

from api.domain_errors import DomainError, NotFoundError
from api.errors import status_of
from tasks import crash_points, engine
from tasks.models import EntityLock, Job, JobStatus
from tenants.scoping import Role, Scope
from tests.factories import VirtualMachineFactory
from tests.stories import ALL, select_evenly
from tests.vms.control_requests import control, fresh
from tests.working import work
from vms.commands.power import RestartVmCommand
from vms.models import VMOperationLog, VMStatus

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("action", "before", "after", "nova", "time"),
    [
        ("start", "SHUTOFF", VMStatus.RUNNING, "os-start", "last_start_time"),
        ("stop", "ACTIVE", VMStatus.STOPPED, "os-stop", "last_stop_time"),
        ("restart", "ACTIVE", VMStatus.RUNNING, "reboot", "last_start_time"),
    ],
)
def test_an_action_ends_when_the_cloud_agrees(cloud, scope, vms_of, action, before, after, nova, time):
    (vm,) = vms_of(1, status=before)
    cloud.clock(action_seconds=0.3)

    result = control(scope, vm, action)
    assert (result.changed, result.job.status) == (True, JobStatus.QUEUED)
    work()

    vm = fresh(vm)
    job = Job.objects.get()
    assert (job.status, job.created_by_id, job.tenant_id) == (
        JobStatus.SUCCEEDED,
        scope.user.pk,
        scope.tenant.pk,
    )
    assert vm.status == after
    assert getattr(vm, time) is not None
    assert vm.desired_state == ("stopped" if action == "stop" else "running")
    assert cloud.accepted(vm.openstack_id, nova) == 1
    entry = VMOperationLog.objects.get()
    assert (entry.operation, entry.success, entry.operator, entry.job_id, entry.vm_name) == (
        action, True, scope.user.username, job.pk, vm.name,
    )  # fmt: skip
    assert not EntityLock.objects.exists()


def test_a_hard_restart_is_asked_for_as_such(cloud, scope, vms_of):
    (vm,) = vms_of(1)
    control(scope, vm, "restart", hard=True)
    work()

    reboots = [entry for entry in cloud.call("GET", "requests")["requests"] if entry["action"] == "reboot"]
    assert len(reboots) == 1
    assert fresh(vm).status == VMStatus.RUNNING


# --- Refusals ----------------------------------------------------------------------------------------------


def test_an_action_in_the_requested_state_changes_nothing(cloud, scope, vms_of):
    (vm,) = vms_of(1)

    result = control(scope, vm, "start")

    assert (result.changed, result.job) == (False, None)
    assert not Job.objects.exists()


def test_another_tenants_vm_is_not_there(scope):
    with pytest.raises(NotFoundError):
        control(scope, VirtualMachineFactory(), "start")


@pytest.mark.parametrize(
    ("columns", "action", "options", "status", "code"),
    [
        ({}, "explode", {}, 400, "unknown_action"),
        ({}, "start", {"hard": True}, 400, "hard_not_known"),
        ({"openstack_id": None}, "start", {}, 409, "not_bound"),
        ({"status": VMStatus.ERROR}, "start", {}, 409, "wrong_state"),
        ({"status": VMStatus.PAUSED}, "stop", {}, 409, "wrong_state"),
        ({"status": VMStatus.STOPPED}, "restart", {}, 409, "wrong_state"),
        ({"status": VMStatus.BUILDING}, "stop", {}, 409, "wrong_state"),
    ],
)
def test_refusals_say_what_is_wrong(scope, columns, action, options, status, code):
    vm = VirtualMachineFactory(information_system__tenant=scope.tenant, **columns)

    with pytest.raises(DomainError) as refused:
        control(scope, vm, action, **options)

    assert (status_of(refused.value), refused.value.code) == (status, code)
    assert not Job.objects.exists()
    assert not EntityLock.objects.exists()


def test_a_wrong_state_names_what_is_allowed(scope):
    vm = VirtualMachineFactory(information_system__tenant=scope.tenant, status=VMStatus.STOPPED)

    with pytest.raises(DomainError) as refused:
        control(scope, vm, "restart")

    assert refused.value.details == {"allowed": ["start", "shelve", "rescue"]}


def test_the_same_action_joins_and_another_is_busy(scope, vms_of):
    (vm,) = vms_of(1)
    first = control(scope, vm, "stop")

    again = control(scope, vm, "stop")
    with pytest.raises(engine.BusyError) as busy:
        control(scope, vm, "restart")

    assert (again.changed, again.job.pk) == (False, first.job.pk)
    assert busy.value.details["job"]["id"] == str(first.job.pk)


def test_a_viewer_may_not(scope, vms_of):
    (vm,) = vms_of(1)
    with pytest.raises(DomainError) as refused:
        control(Scope(scope.user, scope.tenant, Role.VIEWER), vm, "stop")

    assert (status_of(refused.value), refused.value.code) == (403, "role_too_low")


def test_a_dry_run_refuses_alike_and_does_nothing(scope, vms_of):
    (vm,) = vms_of(1)

    assert control(scope, vm, "stop", dry_run=True).changed is True
    with pytest.raises(DomainError):
        control(
            scope, VirtualMachineFactory(information_system__tenant=scope.tenant), "restart", dry_run=True
        )
    assert not Job.objects.exists()


# --- Once, whatever dies -----------------------------------------------------------------------------------


class Killed(BaseException):
    """Die as if killed by SIGKILL."""


@pytest.mark.parametrize("point", ["claimed", "called", "recorded"])
@pytest.mark.parametrize(
    ("action", "before", "nova"),
    select_evenly(
        [
            ("start", "SHUTOFF", "os-start"),
            ("stop", "ACTIVE", "os-stop"),
            ("rescue", "ACTIVE", "rescue"),
            ("unrescue", "RESCUE", "unrescue"),
            ("restart", "ACTIVE", "reboot"),
        ],
        2,
    ),
)
def test_a_worker_that_dies_anywhere_leaves_one_action(
    cloud, scope, vms_of, monkeypatch, point, action, before, nova
):
    """Die at every pass of a point in turn: each time the job ends, and the cloud counts one action."""
    vms = vms_of(4 if ALL else 2, status=before)
    cloud.clock(action_seconds=0.05)
    for passes, vm in enumerate(vms):
        left = [passes]

        def die(name, left=left):
            if name == point:
                left[0] -= 1
                if left[0] == -1:
                    raise Killed

        monkeypatch.setattr(crash_points, "crash_point", die)
        control(scope, vm, action)
        for _ in range(8):
            try:
                work()
            except Killed:
                Job.objects.exclude(owner="").update(lease_until=timezone.now())
        assert cloud.accepted(vm.openstack_id, nova) == 1
        assert VMOperationLog.objects.filter(vm_id=vm.pk, success=True).count() == 1
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}
    assert not EntityLock.objects.exists()


@pytest.mark.parametrize(
    ("action", "before", "nova"),
    [("start", "SHUTOFF", "os-start"), ("stop", "ACTIVE", "os-stop"), ("restart", "ACTIVE", "reboot")],
)
def test_an_answer_that_is_lost_is_not_asked_for_twice(cloud, scope, vms_of, action, before, nova):
    (vm,) = vms_of(1, status=before)
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/action",
            "rate": 1,
            "kind": "lose_answer",
            "times": 1,
        }
    )

    control(scope, vm, action)
    work()

    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert cloud.accepted(vm.openstack_id, nova) == 1


def test_a_restart_that_did_not_look_first_would_restart_twice(cloud, scope, vms_of, monkeypatch):
    """Show the danger: without Nova's record of actions, a lost response causes a second reboot."""
    (vm,) = vms_of(1)
    monkeypatch.setattr(RestartVmCommand, "was_done_before", lambda self, compute: False)
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/action",
            "rate": 1,
            "kind": "lose_answer",
            "times": 1,
        }
    )

    control(scope, vm, "restart")
    work()

    assert cloud.accepted(vm.openstack_id, "reboot") == 2
