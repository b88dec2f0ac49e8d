"""Rescue VMs, and rebuild them, over REST."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CloudResource
from tasks import engine
from tasks.models import Job
from tests.lost import work_with_losses
from vms.models import VirtualMachine

pytestmark = pytest.mark.usefixtures("catalogue")
ACTION = r"/servers/[^/]+/action$"


@pytest.fixture
def vm(admin, system):
    """A running VM."""
    admin.done(admin.new_vm(system))
    return VirtualMachine.objects.get()


@pytest.fixture
def url(vm):
    return f"/api/v1/vms/{vm.pk}/"


def server_of(cloud, vm):
    return cloud.call("GET", f"servers/{vm.openstack_id}")


def test_a_vm_is_rescued_and_comes_back(admin, vm, url, cloud):
    image = CloudResource.objects.filter(type="image", status="active").first()

    admin.done(admin.post(f"{url}rescue/", {"image": image.cloud_id}))

    shown = admin.get(url).json()
    assert (shown["status"], shown["status_display"]) == ("rescue", "in rescue mode")
    assert shown["allowed_actions"] == ["unrescue"]
    assert admin.post(f"{url}actions/", {"action": "stop"}).json()["code"] == "wrong_state"
    assert admin.post(f"{url}rescue/", {}).status_code == 200, "it is in rescue already"

    admin.done(admin.post(f"{url}unrescue/", {}))

    assert admin.get(url).json()["status"] == "running"
    operations = [row["operation"] for row in admin.get(f"{url}operations/").json()["results"]]
    assert operations[:2] == ["unrescue", "rescue"]


def test_the_password_of_a_rescue_is_kept_nowhere(admin, vm, url, cloud):
    admin.done(admin.post(f"{url}rescue/", {}))

    password = server_of(cloud, vm).get("admin_password")
    job = Job.objects.get(kind="vms.rescue")
    assert not password or password not in repr((job.params, job.data))


def test_a_rescue_whose_answer_was_lost_is_not_requested_again(admin, vm, url, cloud):
    cloud.faults({"kind": "lose_answer", "method": "POST", "path": ACTION, "times": 1})

    admin.done(admin.post(f"{url}rescue/", {}))

    assert cloud.accepted(vm.openstack_id, "rescue") == 1


def test_a_cancelled_rescue_of_a_stopped_vm_leaves_it_stopped(admin, vm, url, cloud):
    admin.done(admin.post(f"{url}actions/", {"action": "stop"}))
    answer = admin.post(f"{url}rescue/", {})
    job = Job.objects.get(pk=answer.json()["job"]["id"])
    engine.advance(job.pk)  # The request is sent.
    admin.post(f"/api/v1/jobs/{job.pk}/cancel/")
    work_with_losses()

    assert Job.objects.get(pk=job.pk).status == "cancelled"
    assert server_of(cloud, vm)["status"] == "SHUTOFF"


def put_in_error(cloud, vm):
    cloud.call("PATCH", f"servers/{vm.openstack_id}", {"status": "ERROR"})
    assert server_of(cloud, vm)["vm_state"] == "error"
    VirtualMachine.objects.filter(pk=vm.pk).update(status="error")


@pytest.mark.parametrize("seconds", [0, 0.2])
def test_a_vm_in_error_is_rescued_and_runs_afterwards(admin, vm, url, cloud, seconds):
    """Nova shows it in error until the rescue has succeeded."""
    put_in_error(cloud, vm)
    cloud.clock(action_seconds=seconds)
    assert "rescue" in admin.get(url).json()["allowed_actions"]

    admin.done(admin.post(f"{url}rescue/", {}))
    assert admin.get(url).json()["status"] == "rescue"
    admin.done(admin.post(f"{url}unrescue/", {}))

    assert admin.get(url).json()["status"] == "running"
    assert cloud.accepted(vm.openstack_id, "rescue") == 1


def test_a_rescue_of_a_vm_in_error_that_nova_gives_up_fails_and_leaves_the_error(admin, vm, url, cloud):
    put_in_error(cloud, vm)
    cloud.faults({"kind": "lose_begun", "method": "POST", "path": ACTION, "times": 1})
    answer = admin.post(f"{url}rescue/", {})
    work_with_losses()

    job = Job.objects.get(pk=answer.json()["job"]["id"])
    assert job.status == "failed", job.outcome_message
