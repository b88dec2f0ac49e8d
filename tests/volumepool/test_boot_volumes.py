"""VMs that boot from a volume claim a spare when a pool has a matching one."""

from __future__ import annotations

import pytest

from cloudaccounts.connect import open_cloud
from tasks import engine
from tasks.models import Job
from tests.vms.conftest import account, admin, catalogue, cloud, system
from tests.working import work
from vms.models import VirtualMachine
from volumepool.models import Claim, SpareVolume, Volume, VolumePool
from volumepool.services import backfill, reconcile

__all__ = ["account", "admin", "catalogue", "cloud", "system"]


@pytest.fixture
def image(catalogue):
    """The image that a VM of ubuntu boots from."""
    return (
        catalogue.filter(type="image", name__icontains="ubuntu").order_by("-attributes__created_at").first()
    )


@pytest.fixture
def of_image(account, image):
    """Create and fill a pool of copies of the image."""
    pool = VolumePool.objects.create(
        account=account, region="RegionOne", type="ubuntu-40", size_gb=40, desired=1, image_id=image.cloud_id
    )
    return filled(pool)


@pytest.fixture
def of_snapshot(account, catalogue):
    """Create and fill a pool of boot volumes of igws."""
    pool = VolumePool.objects.create(
        account=account, region="RegionOne", type="igw", size_gb=20, desired=1, snapshot_prefix="igw-"
    )
    return filled(pool)


def filled(pool):
    reconcile(pool.account_id, pool.region)
    backfill(pool.pk)
    work()
    assert SpareVolume.objects.claimable().count() == 1
    return VolumePool.objects.get(pk=pool.pk)


def seen(volume):
    """Return the volume as the client reads it."""
    return open_cloud(volume.account, volume.region).block_storage.get_volume(volume.volume_id)


def boots(admin, system, **fields):
    return admin.new_vm(system, boot_volume=True, **fields)


def test_a_vm_boots_from_a_spare_of_its_image(admin, system, of_image, cinder):
    spare = SpareVolume.objects.get()

    admin.done(boots(admin, system))

    volume = Volume.objects.get()
    assert (volume.volume_id, volume.source, volume.is_boot, volume.status) == (
        spare.volume_id,
        "pool",
        True,
        "in-use",
    )
    assert volume.vm == VirtualMachine.objects.get()
    seen = cinder.volumes()[spare.volume_id]
    assert (seen["name"], seen["metadata"]["portal_volume"]) == ("shop-1", str(volume.pk))
    assert (Claim.objects.get().taken, Claim.objects.get().made) == (1, 0)


def test_without_a_spare_the_volume_is_created_and_the_miss_is_counted(
    admin, system, of_image, image, cinder
):
    SpareVolume.objects.all().delete()

    admin.done(boots(admin, system))

    volume = Volume.objects.get()
    assert volume.source == "created"
    assert seen(volume).image_id == image.cloud_id
    assert (Claim.objects.get().taken, Claim.objects.get().made) == (0, 1)


@pytest.mark.parametrize("fields", [{"disk_gb": 50}, {"os_type": "debian"}, {"boot_volume": False}])
def test_invalid_claims_are_refused(admin, system, of_image, fields):
    admin.done(admin.new_vm(system, **{"boot_volume": True, **fields}))

    assert SpareVolume.objects.count() == 1
    assert not Claim.objects.exists()


def test_a_pool_of_snapshots_defines_the_system_of_a_vm(admin, system, of_snapshot, cinder):
    spare = SpareVolume.objects.get()
    admin.done(boots(admin, system, os_type="igw", disk_gb=20))
    SpareVolume.objects.all().delete()
    admin.done(boots(admin, system, os_type="IGW", disk_gb=20, name="shop-2"))

    first, second = Volume.objects.order_by("name")
    assert (first.volume_id, second.source) == (spare.volume_id, "created")
    assert seen(second).snapshot_id == of_snapshot.current_snapshot_id
    refused = admin.new_vm(system, os_type="igw", disk_gb=20, name="shop-3")
    assert (refused.status_code, set(refused.json()["errors"])) == (400, {"os_type"})


def test_an_unusable_spare_is_replaced(admin, system, of_image, cloud, cinder):
    spare = SpareVolume.objects.get()
    cloud.call("PATCH", f"volumes/{spare.volume_id}", {"status": "error"})

    admin.done(boots(admin, system))

    volume = Volume.objects.get()
    assert volume.volume_id != spare.volume_id
    assert (volume.source, volume.is_boot) == ("created", True)
    assert cinder.is_consistent()


def test_a_failed_creation_deletes_its_boot_volume(admin, system, of_image, cloud, cinder):
    cloud.faults({"kind": "status", "status": 400, "method": "POST", "path": "/servers", "times": 1})

    job = admin.ended(boots(admin, system))

    assert job["status"] == "failed", job["outcome"]
    assert Volume.objects.count() == VirtualMachine.objects.count() == 0
    assert cinder.volumes() == {}


def test_a_creation_cancelled_before_its_start_returns_the_spare(admin, system, of_image, cinder):
    spare = SpareVolume.objects.get()
    answer = boots(admin, system)
    engine.cancel(Job.objects.get(pk=answer.json()["job"]["id"]))
    work()

    assert Volume.objects.count() == VirtualMachine.objects.count() == 0
    for _twice in range(2):
        reconcile(of_image.account_id, "RegionOne")
    assert SpareVolume.objects.get().volume_id == spare.volume_id
    assert cinder.is_consistent()
