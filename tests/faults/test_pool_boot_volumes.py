"""VMs that boot from a spare, and whose creation dies, is cancelled or fails: no volume is lost or left over.

By default while the spare is looked at and named; `make stories` does it at every step of the VM's creation.
"""

from __future__ import annotations

import pytest

from cloudaccounts.models import CloudResource
from tasks import engine
from tasks.models import Job
from tests.catalogue import sync_catalogue
from tests.stories import ALL
from vms.models import VirtualMachine
from vms.services import create_vm
from volumepool.models import SpareVolume, Volume, VolumePool

from .killable_worker import killable_worker
from .pool.stage import PoolStage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOLD = {"volumepool.take_spare"}
DISK_GB = 40


@pytest.fixture
def stage(cloud, account):
    sync_catalogue(account)
    images = CloudResource.objects.present().filter(account=account, type="image", name__icontains="ubuntu")
    with killable_worker() as worker:
        stage = PoolStage.of(cloud, account, worker)
        VolumePool.objects.update(size_gb=DISK_GB, image_id=images.order_by("-name")[0].cloud_id)
        yield stage


def request_vm_of_spare(stage, *, fails=False):
    """Request a VM that boots from a spare, and return its job."""
    stage.clear()
    if fails:
        stage.cloud.call("POST", "failing_builds", {"times": 1})
    wish = {
        "information_system": stage.system.pk,
        "name": "shop",
        "cpu_cores": 2,
        "memory_gb": 4,
        "disk_gb": DISK_GB,
        "os_type": "ubuntu",
        "boot_volume": True,
    }
    job = create_vm(scope=stage.scope, params=wish).job
    assert SpareVolume.objects.count() == 2, "a spare was taken for it"
    return job


def find_violations_after_settling(stage):
    wrong = stage.settle()
    servers = [one for one in stage.cloud.call("GET", "objects")["servers"] if one["tags"]]
    if not len(servers) == VirtualMachine.objects.count() == Volume.objects.filter(is_boot=True).count():
        wrong.append(f"{len(servers)} servers, {VirtualMachine.objects.count()} VMs")
    if Volume.objects.exclude(is_boot=True).exists():
        wrong.append("a volume without its VM is left")
    return wrong


def list_places(stage, *, fails):
    job = request_vm_of_spare(stage, fails=fails)
    stage.worker.work()
    assert find_violations_after_settling(stage) == []
    job.refresh_from_db()
    assert (job.status == "failed") == fails
    passed = [place for place in stage.worker.passed if place[0] == "called"]
    return [
        place for place in passed if place[1] in ({"vms.create", "volumepool.take_spare"} if ALL else TOLD)
    ]


@pytest.mark.parametrize("fails", [False, True] if ALL else [True])
def test_wherever_its_worker_dies_the_spare_is_the_vms_or_nobodys(stage, fails):
    wrong = []
    for place in list_places(stage, fails=fails):
        request_vm_of_spare(stage, fails=fails)
        stage.worker.die_at(place)
        stage.worker.work()
        assert stage.worker.deaths == 1, place
        wrong += [f"death at {place}: {one}" for one in find_violations_after_settling(stage)]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.story
@pytest.mark.parametrize(
    "dies", [True, False] if ALL else [True], ids=lambda dies: "and dies" if dies else "alone"
)
def test_wherever_it_is_cancelled_the_spare_is_the_vms_or_nobodys(stage, dies):
    wrong = []
    for place in list_places(stage, fails=False):
        job, cancelled = request_vm_of_spare(stage), []

        def look(*at, place=place, job=job, cancelled=cancelled):
            if at == place and not cancelled:
                cancelled.append(engine.cancel(job))

        stage.worker.on_point = look
        if dies:
            stage.worker.die_at(place)
        stage.worker.work()
        assert cancelled, place
        wrong += [f"cancelled at {place}: {one}" for one in find_violations_after_settling(stage)]
    assert wrong == [], "\n".join(wrong)


def test_a_comparison_before_the_creation_begins_leaves_its_volume_to_it(stage):
    job = request_vm_of_spare(stage)

    stage.reconcile()
    stage.worker.work()

    job.refresh_from_db()
    assert job.status == "succeeded", job.outcome_message
    assert not Job.objects.filter(kind="volumepool.rename_volume").exists()
    assert find_violations_after_settling(stage) == []
