"""Rescue VMs, and rebuild them, over REST."""

from __future__ import annotations

import pytest

from cloudaccounts.models import CatalogueGrant, CloudResource
from tasks import engine
from tasks.models import Job
from tests.lost import work_with_losses
from tests.vms.dying import work_while_dying
from tests.working import work
from vms.models import VirtualMachine, VMOperationLog
from volumepool.models import Volume

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


@pytest.mark.parametrize("route", ["rescue", "rebuild"])
def test_an_image_that_is_not_granted_is_refused(admin, vm, url, route):
    CatalogueGrant.objects.filter(kind="image").delete()
    image = CloudResource.objects.filter(type="image", status="active").first()

    answer = admin.post(f"{url}{route}/", {"image": image.cloud_id})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["image"])
    assert not Job.objects.filter(kind=f"vms.{route}").exists()


def test_a_vm_that_boots_from_a_volume_needs_an_image_and_nova_says_which(admin, system):
    admin.done(admin.new_vm(system, boot_volume=True))
    url = f"/api/v1/vms/{VirtualMachine.objects.get().pk}/"

    assert list(admin.post(f"{url}rescue/", {}).json()["errors"]) == ["image"]
    assert list(admin.post(f"{url}rebuild/", {}).json()["errors"]) == ["image"]
    image = CloudResource.objects.filter(type="image", status="active").first()
    job = admin.ended(admin.post(f"{url}rescue/", {"image": image.cloud_id}))

    assert job["outcome"]["code"] == "rescue_refused"
    assert "hw_rescue_device" in job["outcome"]["message"]


def test_a_rebuild_writes_another_image_and_keeps_the_rest(admin, vm, url, cloud):
    image = CloudResource.objects.filter(type="image", status="active").exclude(name=vm.image_name).first()
    admin.done(admin.post(f"{url}snapshots/", {"name": "before"}))
    before = server_of(cloud, vm)

    admin.done(admin.post(f"{url}rebuild/", {"image": image.cloud_id}))

    shown, server = admin.get(url).json(), server_of(cloud, vm)
    assert (shown["status"], shown["image_name"]) == ("running", image.name)
    assert shown["os_type"] == (image.attributes["os_distro"] or image.attributes["os_type"])
    assert (shown["openstack_id"], shown["ip_address"]) == (vm.openstack_id, vm.ip_address)
    assert (server["image_id"], server.get("key_name")) == (image.cloud_id, before.get("key_name"))
    assert admin.get(f"{url}snapshots/").json()["count"] == 1
    assert VMOperationLog.objects.first().operation == "rebuild"


def test_a_stopped_vm_is_rebuilt_from_its_own_image_and_stays_stopped(admin, vm, url, cloud):
    admin.done(admin.post(f"{url}actions/", {"action": "stop"}))

    admin.done(admin.post(f"{url}rebuild/", {"keep_key": False}))

    shown = admin.get(url).json()
    assert (shown["status"], shown["image_name"]) == ("stopped", vm.image_name)


def test_a_vm_that_boots_from_a_volume_is_rebuilt_from_an_image(admin, system, cloud):
    admin.done(admin.new_vm(system, boot_volume=True))
    vm = VirtualMachine.objects.get()
    image = CloudResource.objects.filter(type="image", status="active").first()

    admin.done(admin.post(f"/api/v1/vms/{vm.pk}/rebuild/", {"image": image.cloud_id}))

    assert Volume.objects.get(vm=vm, is_boot=True).status == "in-use"


@pytest.mark.parametrize(("kind", "outcome"), [("lose_answer", "succeeded"), ("lose_all", "failed")])
def test_a_rebuild_whose_answer_was_lost_is_done_once_and_one_that_nova_lost_is_told(
    admin, vm, url, cloud, kind, outcome
):
    cloud.faults({"kind": kind, "method": "POST", "path": ACTION, "times": 1})

    answer = admin.post(f"{url}rebuild/", {})
    work_with_losses()

    job = Job.objects.get(pk=answer.json()["job"]["id"])
    assert job.status == outcome, job.outcome_message
    assert cloud.accepted(vm.openstack_id, "rebuild") == 1


def test_what_protects_a_vm_protects_its_disk(admin, vm, url):
    admin.patch(url, {"deletion_protection": True}, format="json")

    answer = admin.post(f"{url}rebuild/", {})

    assert (answer.status_code, answer.json()["code"]) == (409, "protected")


def test_a_rebuild_of_a_vm_that_a_job_holds_is_refused(admin, vm, url):
    admin.post(f"{url}actions/", {"action": "stop"})

    assert admin.post(f"{url}rebuild/", {}).json()["code"] == "busy"
    work()


def test_an_image_that_is_too_large_for_the_vm_is_refused(admin, vm, url):
    image = CloudResource.objects.filter(type="image", status="active").first()
    image.attributes |= {"min_disk_gb": 4000}
    image.save()

    answer = admin.post(f"{url}rebuild/", {"image": image.cloud_id})

    assert answer.status_code == 400
    assert "4000" in answer.json()["errors"]["image"][0]


def test_a_server_that_is_locked_in_the_cloud_is_not_rebuilt(admin, vm, url, cloud):
    cloud.change(vm.openstack_id, locked=True)

    job = admin.ended(admin.post(f"{url}rebuild/", {}))

    assert job["outcome"]["code"] == "locked_in_cloud"


def test_a_vm_in_the_bin_is_neither_rescued_nor_rebuilt(admin, vm, url):
    VirtualMachine.objects.update(binned_at="2026-01-01T00:00Z", bin_until="2036-01-01T00:00Z")

    for route in ("rescue", "unrescue", "rebuild"):
        assert admin.post(f"{url}{route}/", {}).json()["code"] == "in_bin"


@pytest.mark.parametrize("passes", range(4))
@pytest.mark.parametrize("point", ["called", "recorded"])
def test_a_worker_that_dies_leaves_one_rebuild(admin, vm, url, cloud, monkeypatch, point, passes):
    cloud.clock(action_seconds=0.05)
    answer = admin.post(f"{url}rebuild/", {})

    work_while_dying(monkeypatch, point, passes)

    job = Job.objects.get(pk=answer.json()["job"]["id"])
    assert job.status == "succeeded", job.outcome_message
    assert cloud.accepted(vm.openstack_id, "rebuild") == 1
