"""A Nova that keeps deleted servers for a while (`reclaim_instance_interval`)."""

from __future__ import annotations

import pytest

from cloudaccounts.connect import open_cloud
from tests.lost import work_with_losses
from vms.models import VirtualMachine
from vms.sync.status import sync_region
from volumepool.models import Volume

pytestmark = pytest.mark.usefixtures("catalogue")


@pytest.fixture
def vm(admin, system):
    """A running VM that boots from a volume."""
    admin.done(admin.new_vm(system, boot_volume=True))
    return VirtualMachine.objects.get()


@pytest.fixture
def url(vm):
    return f"/api/v1/vms/{vm.pk}/"


def keep_deleted(cloud, *, force):
    cloud.call("POST", "soft_delete", {"enabled": True, "force": force})


def statuses(cloud):
    found = cloud.call("GET", "objects")
    return [server["status"] for server in found["servers"]]


def test_a_removal_with_delete_ends_the_server_for_good(admin, vm, url, cloud):
    keep_deleted(cloud, force=True)
    boot = Volume.objects.get().volume_id

    admin.done(admin.delete(f"{url}?force=true"))

    assert statuses(cloud) == []
    assert boot not in {volume["id"] for volume in cloud.call("GET", "objects")["volumes"]}
    assert not Volume.objects.exists() and not VirtualMachine.objects.exists()


def test_a_removal_with_keep_leaves_volumes_that_are_free_indeed(admin, vm, url, cloud, account):
    keep_deleted(cloud, force=True)

    admin.done(admin.delete(f"{url}?force=true&volumes=keep"))

    row = Volume.objects.get()
    seen = open_cloud(account, "RegionOne").block_storage.get_volume(row.volume_id)
    assert (row.status, row.vm_id, seen.status) == ("available", None, "available")


def test_where_only_administrators_may_end_it_the_row_says_what_cinder_says(admin, vm, url, cloud, account):
    admin.done(admin.post(f"{url}volumes/", {"size_gb": 1, "name": "data"}))
    keep_deleted(cloud, force=False)

    admin.done(admin.delete(f"{url}?force=true&volumes=keep"))

    storage = open_cloud(account, "RegionOne").block_storage
    rows = {row.name: row for row in Volume.objects.all()}
    assert rows.pop("data").status == "available"  # It was taken off.
    (boot,) = rows.values()
    assert (boot.status, storage.get_volume(boot.volume_id).status) == ("in-use", "in-use")
    assert boot.server_id == vm.openstack_id and "which is no VM of this tenant" in boot.problem
    assert statuses(cloud) == ["SOFT_DELETED"]


def test_where_only_administrators_may_end_it_a_removal_with_delete_ends_and_says_why(admin, vm, url, cloud):
    keep_deleted(cloud, force=False)

    answer = admin.delete(f"{url}?force=true")
    work_with_losses()

    job = admin.get(f"/api/v1/jobs/{answer.json()['job']['id']}/").json()
    assert (job["status"], job["outcome"]["code"]) == ("failed", "volumes_left")
    assert VirtualMachine.objects.get().status == "removed"


def test_a_failed_creation_leaves_nothing_in_the_portal(admin, system, cloud):
    keep_deleted(cloud, force=True)
    cloud.call("POST", "failing_builds", {"times": 1})

    job = admin.ended(admin.new_vm(system))

    assert job["status"] == "failed"
    assert statuses(cloud) == []


def test_one_that_was_deleted_behind_our_back_counts_as_removed(admin, vm, url, cloud, account):
    keep_deleted(cloud, force=False)
    sync_region(account.pk, "RegionOne", full=True)
    open_cloud(account, "RegionOne").compute.delete_server(vm.openstack_id)

    sync_region(account.pk, "RegionOne", full=True)

    vm.refresh_from_db()
    assert (vm.status, vm.missing_count) == ("removed", 0)
