"""The nine power actions: the statuses that allow them, their results, and their failures."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from api.domain_errors import DomainError
from cloudaccounts.connect import open_cloud
from tasks import engine
from tasks.models import AsyncTask, EntityLock, Job, Step
from tests.factories import VirtualMachineFactory
from tests.working import work
from vms.actions import ACTIONS, POWER_ACTIONS, allowed_actions
from vms.commands.power import POWER_COMMANDS
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from vms.services import control_vm

NOVAS_WORD = {
    VMStatus.RUNNING: "ACTIVE",
    VMStatus.STOPPED: "SHUTOFF",
    VMStatus.PAUSED: "PAUSED",
    VMStatus.SUSPENDED: "SUSPENDED",
    VMStatus.SHELVED: "SHELVED_OFFLOADED",
}
POWER = sorted(POWER_COMMANDS)


def nova_status_before(action):
    """Return Nova's word for the first status, always the same one, from which an action is allowed."""
    return next(word for status, word in NOVAS_WORD.items() if status in ACTIONS[action].allowed_from)


def fresh(vm):
    return VirtualMachine.objects.for_display().get(pk=vm.pk)


def test_every_action_has_a_command_and_is_an_operation_of_the_log():
    assert set(ACTIONS) == set(POWER_COMMANDS) | {"confirm_resize", "revert_resize"}
    assert set(ACTIONS) <= set(VMOperationLog.Operation.values)
    assert {command.kind for command in POWER_COMMANDS.values()} == {f"vms.{name}" for name in POWER_ACTIONS}
    assert {action.undone_by for action in POWER_ACTIONS.values()} - {""} <= set(POWER_ACTIONS)


@pytest.mark.parametrize("status", list(VMStatus))
@pytest.mark.parametrize("action", POWER)
def test_each_action_from_each_status(scope, action, status):
    vm = VirtualMachineFactory(information_system__tenant=scope.tenant, status=status)
    if status == ACTIONS[action].leads_to:
        control = control_vm(scope=scope, vm_id=vm.pk, action=action)
        assert (control.changed, control.job) == (False, None)
    elif status in ACTIONS[action].allowed_from:
        assert action in allowed_actions(fresh(vm))
        assert control_vm(scope=scope, vm_id=vm.pk, action=action, dry_run=True).changed
    else:
        assert action not in allowed_actions(fresh(vm))
        with pytest.raises(DomainError) as refused:
            control_vm(scope=scope, vm_id=vm.pk, action=action)
        assert refused.value.code == "wrong_state"
        assert refused.value.details["allowed"] == allowed_actions(fresh(vm))
    assert not Job.objects.exists()


@pytest.mark.parametrize("action", [name for name in POWER if POWER_ACTIONS[name].undone_by])
def test_what_does_not_get_there_is_taken_back(vms_of, scope, cloud, action):
    """The step's time runs out while the server is as wanted, but the cloud does not tell, asked once more: it is brought back."""
    before = nova_status_before(action)
    (vm,) = vms_of(1, status=before)
    control_vm(scope=scope, vm_id=vm.pk, action=action)
    job = Job.objects.get()
    engine.advance(job.pk)
    AsyncTask.objects.update(expires_at=timezone.now() - timedelta(seconds=1), next_look_at=timezone.now())
    Step.objects.filter(name="wait_for_completion").update(deadline=timezone.now() - timedelta(seconds=1))
    Job.objects.update(deadline=timezone.now() - timedelta(seconds=1), not_before=timezone.now())
    silence = {
        "service": "compute",
        "method": "GET",
        "path": r"/servers/[^/]+$",
        "kind": "status",
        "status": 503,
    }
    cloud.faults({**silence, "rate": 1})
    engine.advance(job.pk)
    cloud.no_faults()
    Job.objects.update(not_before=timezone.now())

    work()

    job.refresh_from_db()
    assert job.status == "failed"
    server = open_cloud(vm.account, vm.region).compute.get_server(vm.openstack_id)
    assert server.status == before
    assert not EntityLock.objects.exists()


@pytest.mark.parametrize("action", ["stop", "start", "pause", "suspend"])
def test_a_server_that_others_move_elsewhere_ends_the_job_and_frees_the_vm(vms_of, scope, action):
    (vm,) = vms_of(1, status=nova_status_before(action))
    control_vm(scope=scope, vm_id=vm.pk, action=action)
    engine.advance(Job.objects.get().pk)
    compute = open_cloud(vm.account, vm.region).compute
    compute.shelve_server(vm.openstack_id)

    work()

    job = Job.objects.get()
    assert (job.status, job.outcome_code) == ("failed", "refused_by_cloud")
    assert "SHELVED" in job.outcome_message
    assert fresh(vm).status == VMStatus.SHELVED
    assert not EntityLock.objects.exists()
