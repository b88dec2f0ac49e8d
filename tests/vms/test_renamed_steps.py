"""Former names of steps, which the release before has stored."""

from __future__ import annotations

import pytest

from tasks import command, engine
from tasks.models import AsyncTask, Job, Step
from tasks.services import cancel_job
from tests.working import work
from vms.models import VirtualMachine, VMStatus
from vms.services import control_vm

COMMANDS = sorted(
    (cls for kind, cls in command._registry.items() if kind.startswith("vms.")), key=lambda cls: cls.kind
)


@pytest.mark.parametrize("command_class", COMMANDS, ids=lambda cls: cls.kind)
def test_every_old_name_leads_to_a_step_and_is_none_itself(command_class):
    names = {declared.name for declared in command_class.steps}
    assert set(command_class.renamed_steps.values()) <= names
    assert not set(command_class.renamed_steps) & names


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("begun", [False, True], ids=["recorded", "waiting"])
def test_a_job_of_the_release_before_goes_on(vms_of, scope, begun):
    (vm,) = vms_of(1)
    job = control_vm(scope=scope, vm_id=vm.pk, action="stop").job
    if begun:
        engine.advance(job.pk)
    for old, new in command.command_class("vms.stop").renamed_steps.items():
        Step.objects.filter(job=job, name=new).update(name=old)
        AsyncTask.objects.filter(job=job, step_name=new).update(step_name=old)

    work()

    assert Job.objects.get(pk=job.pk).status == "succeeded"
    assert VirtualMachine.objects.get(pk=vm.pk).status == VMStatus.STOPPED
    names = list(Step.objects.filter(job=job).order_by("position").values_list("name", flat=True))
    assert names == ["send_request", "wait_for_completion"]


@pytest.mark.django_db(transaction=True)
def test_a_request_that_the_release_before_has_recorded_is_undone(cloud, vms_of, scope):
    """It recorded that Nova has the request under another key."""
    (vm,) = vms_of(1)
    job = control_vm(scope=scope, vm_id=vm.pk, action="stop").job
    engine.advance(job.pk)
    job.refresh_from_db()
    assert job.data.pop("is_requested")
    Job.objects.filter(pk=job.pk).update(data={**job.data, "asked": True})

    cancel_job(scope=scope, job_id=job.pk)
    work()

    assert Job.objects.get(pk=job.pk).status == "cancelled"
    assert cloud.accepted(vm.openstack_id, "os-start") == 1
