"""A database that was restored from a backup, while the cloud went on: what was forgotten is kept, and nothing is done twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import ReleasedObject
from networks.models import SecurityGroup
from tasks import engine, restore_guard
from tasks.canary import CanaryCommand
from tasks.models import IN_FLIGHT, Job, JobStatus
from tasks.tasks import advance, sweep
from tests.factories import UserFactory, VirtualMachineFactory
from tests.restoring import DatabaseCopy, forget_epoch, list_findings, run_check
from tests.working import work
from vms.models import Orphan, VirtualMachine
from vms.services.orphans import sweep_orphans
from vms.sync import orphans
from vms.tasks import empty_bin
from volumepool.models import OrphanVolume, SpareVolume, Volume, VolumePool
from volumepool.services import backfill, reconcile

pytestmark = pytest.mark.usefixtures("catalogue")
REGION = "RegionOne"


@pytest.fixture
def backup(system):
    """A backup of the database that is taken when a test says so. The database has a record, as a running portal has."""
    restore_guard.record_epoch()
    copy = DatabaseCopy()
    yield copy
    copy.drop()


@pytest.fixture
def staff():
    """Create a platform administrator, who is in the backup."""
    return UserFactory(is_staff=True, is_superuser=True, username="root")


@pytest.fixture
def sweep_at_once(account, monkeypatch, settings):
    """Return a function that sweeps until every orphan would be confirmed and deleted, whatever its age."""
    settings.ORPHANS_REMOVE = True
    monkeypatch.setattr(orphans, "LONGEST_CREATION", timedelta(hours=-1))

    def run():
        for _ in range(3):
            sweep_orphans(account.pk, REGION)
        work()

    return run


def list_servers(cloud):
    return {server["id"] for server in cloud.call("GET", "objects")["servers"]}


@pytest.mark.parametrize("is_guarded", [False, True], ids=["without the guard", "with it"])
def test_the_sweep_would_delete_what_the_database_forgot(
    cloud, admin, system, backup, sweep_at_once, is_guarded
):
    if not is_guarded:
        forget_epoch()
    backup.take()
    admin.done(admin.new_vm(system))
    created = list_servers(cloud)
    assert len(created) == 1

    backup.restore()
    sweep_at_once()

    assert list_servers(cloud) == (created if is_guarded else set())
    assert Orphan.objects.exists() is False, "no sighting of a restored database may count later"


def test_what_was_forgotten_is_adopted_with_its_ids(
    cloud, account, admin, system, staff, backup, sweep_at_once
):
    backup.take()
    vm_id = admin.new_vm(system, boot_volume=True).json()["vm"]["id"]
    work()
    before = VirtualMachine.objects.get(pk=vm_id)
    boot = Volume.objects.get(vm=before)
    group = SecurityGroup(pk=before.pk, tenant=system.tenant, name="web")
    group_id = open_cloud(account, REGION).network.create_security_group(name="web", marker=group.marker).id
    backup.restore()

    forgotten = {finding["object_type"]: finding for finding in list_findings()["forgotten"]}
    assert {kind: found["cloud_id"] for kind, found in forgotten.items()} == {
        "server": before.openstack_id,
        "volume": boot.volume_id,
        "security_group": group_id,
    }
    assert forgotten["server"]["owner_id"] == str(system.pk)
    assert run_check("--end")[0] == 1, "what is forgotten would be deleted"
    code, printed = run_check("--mend", "--user", "root")
    assert code == 1, "the state is to be ended yet"
    assert "Found: nothing" in printed, printed

    vm = VirtualMachine.objects.get()
    assert (vm.pk, vm.openstack_id, vm.information_system) == (before.pk, before.openstack_id, system)
    volume = Volume.objects.get()
    assert (volume.pk, volume.volume_id, volume.vm, volume.is_boot) == (boot.pk, boot.volume_id, vm, True)
    # Nobody's security group: the sweeps leave it alone.
    assert list(ReleasedObject.objects.values_list("cloud_id", flat=True)) == [group_id]
    assert run_check("--end")[0] == 0
    assert run_check() == (0, "Restored, not checked: no\n\nFound: nothing.\n")
    sweep_at_once()
    assert list_servers(cloud) == {before.openstack_id}
    assert open_cloud(account, REGION).network.get_security_group(group_id).id == group_id
    assert open_cloud(account, REGION).block_storage.get_volume(boot.volume_id).status == "in-use"


def test_a_server_of_nobody_known_is_left_to_staff(
    cloud, account, admin, system, staff, backup, sweep_at_once
):
    backup.take()
    admin.done(admin.new_vm(system))
    (server_id,) = list_servers(cloud)
    # As servers of the release before, which do not name their application.
    open_cloud(account, REGION).compute.replace_metadata(server_id, {})
    backup.restore()

    run_check("--mend", "--user", "root")

    assert not VirtualMachine.objects.exists()
    assert ReleasedObject.objects.get().cloud_id == server_id
    assert run_check("--end")[0] == 0
    sweep_at_once()
    assert list_servers(cloud) == {server_id}


def test_a_spare_that_was_handed_out_is_never_handed_out_again(account, admin, system, staff, backup):
    pool = VolumePool.objects.create(account=account, region=REGION, type="debian", size_gb=2, desired=2)
    backfill(pool.pk)
    work()
    backup.take()
    claim = {"information_system": str(system.pk), "type": "debian", "count": 1, "name": "data"}
    admin.done(admin.post("/api/v1/volumes/", claim, format="json"))
    of_tenant = Volume.objects.get()
    backup.restore()
    assert SpareVolume.objects.claimable().count() == 2, "the database knows nothing of the claim"

    refused = admin.post("/api/v1/volumes/", claim, format="json")
    assert (refused.status_code, refused.json()["code"]) == (503, "database_restored")
    assert reconcile(account.pk, REGION) is False
    (finding,) = list_findings()["spare_handed_out"]
    assert finding["cloud_id"] == of_tenant.volume_id
    run_check("--mend", "--user", "root")

    assert SpareVolume.objects.get().volume_id != of_tenant.volume_id
    assert OrphanVolume.objects.get().is_taken
    volume = Volume.objects.get()
    assert (volume.pk, volume.volume_id) == (of_tenant.pk, of_tenant.volume_id)
    assert run_check("--end")[0] == 0
    for _ in range(2):
        assert reconcile(account.pk, REGION)
    for _ in range(3):
        admin.done(admin.post("/api/v1/volumes/", claim, format="json"))
    ids = list(Volume.objects.values_list("volume_id", flat=True))
    assert len(ids) == len(set(ids)) == 4


def test_a_job_that_has_ended_since_waits_for_staff(cloud, admin, system, staff, backup):
    admin.new_vm(system)
    backup.take()
    work()
    created = list_servers(cloud)
    backup.restore()
    job = Job.objects.get(status__in=IN_FLIGHT)
    sweep()
    advance(str(job.pk))
    assert Job.objects.get().status == JobStatus.QUEUED, "a restored job must not run"

    (finding,) = list_findings()["job_in_doubt"]
    assert f"server {created.pop()} is ACTIVE" in finding["detail"]
    run_check("--mend", "--user", "root")

    job.refresh_from_db()
    assert (job.status, job.locks.count()) == (JobStatus.STUCK, 1)
    assert run_check("--end")[0] == 0
    with transaction.atomic():
        engine.resume(engine.lock_for_decision(job, "resume"), staff, "The server is there.")
    work()
    assert [vm.openstack_id for vm in VirtualMachine.objects.all()] == list(list_servers(cloud))


def test_a_vm_that_was_deleted_since_is_marked(cloud, admin, system, staff, backup):
    for name in ("one", "two", "three", "four"):
        admin.done(admin.new_vm(system, name=name))
    backup.take()
    lost, changed, *_others = VirtualMachine.objects.order_by("name")
    cloud.remove(lost.openstack_id)
    cloud.change(changed.openstack_id, status="SHUTOFF")
    backup.restore()

    found = list_findings()
    assert [(one["name"], one["row_id"]) for one in found["lost"]] == [(lost.name, str(lost.pk))]
    assert [one["detail"] for one in found["changed"]] == ["status running -> stopped"]
    run_check("--mend", "--user", "root")

    lost.refresh_from_db()
    changed.refresh_from_db()
    assert (lost.status, changed.status) == ("removed", "stopped")
    assert list_findings() == {}


def test_the_bin_deletes_nothing_that_may_have_been_taken_out(account, system, staff, backup, settings):
    settings.BIN_DAYS = 7
    now = timezone.now()
    vm = VirtualMachineFactory(
        account=account,
        information_system=system,
        binned_at=now - timedelta(days=7),
        bin_until=now - timedelta(hours=1),
    )
    backup.take()
    backup.restore()

    empty_bin()
    assert not Job.objects.exists()
    assert [one["row_id"] for one in list_findings()["in_bin"]] == [str(vm.pk)]
    run_check("--mend", "--user", "root")
    assert run_check("--end")[0] == 0
    empty_bin()
    vm.refresh_from_db()
    assert vm.bin_until > timezone.now() + timedelta(days=6)
    assert not Job.objects.exists()


def test_a_region_that_does_not_answer_is_not_taken_for_checked(cloud, admin, system, staff, backup):
    admin.done(admin.new_vm(system))
    restore_guard.suspend()
    cloud.faults({"kind": "status", "status": 503, "path": "/security-groups"})

    code, printed = run_check()
    assert code == 1
    assert "NOT COMPARED: simulator / RegionOne" in printed
    assert run_check("--end")[0] == 1
    assert restore_guard.find_suspension()
    assert run_check("--end", "--force")[0] == 0
    assert not restore_guard.find_suspension()


def test_a_database_that_went_back_in_its_place_is_recognized_by_redis(backup):
    for _ in range(3):
        restore_guard.record_epoch()
    record = restore_guard.DatabaseEpoch.objects.get()
    restore_guard.DatabaseEpoch.objects.update(epoch=record.epoch - 1)
    restore_guard.forget_trust()

    restore_guard.record_epoch()

    reason = restore_guard.find_suspension()
    assert "Redis has number 4, the database only 3" in reason
    cache.clear()
    assert restore_guard.find_suspension() == reason, (
        "it is written down, so that Redis is not needed any more"
    )
    with pytest.raises(Exception, match="was restored"), transaction.atomic():
        engine.submit(CanaryCommand())
    restore_guard.resume()
    assert restore_guard.find_suspension() == ""


def test_a_lost_redis_stops_nothing(backup):
    restore_guard.record_epoch()
    cache.clear()
    restore_guard.forget_trust()

    assert restore_guard.find_suspension() == ""
    restore_guard.record_epoch()
    assert restore_guard.find_suspension() == ""


def test_health_says_why_nothing_is_done(client, backup):
    assert "restored" not in client.get("/health/ready").json()["problems"]
    assert run_check("--begin")[0] == 0

    assert "manage.py check_restore" in client.get("/health/ready").json()["problems"]["restored"]


def test_a_restored_job_rolls_nothing_back_by_itself(cloud, account, admin, system, staff, backup):
    admin.new_vm(system)
    backup.take()
    work()
    (server_id,) = list_servers(cloud)
    backup.restore()
    run_check("--mend", "--user", "root")
    run_check("--end")
    job = Job.objects.get(status=JobStatus.STUCK)
    cloud.change(server_id, status="ERROR")

    with transaction.atomic():
        engine.resume(engine.lock_for_decision(job, "resume"), staff, "Try it.")
    work()

    job.refresh_from_db()
    assert (job.status, "not rolled back" in job.outcome_message) == (JobStatus.STUCK, True)
    assert list_servers(cloud) == {server_id}
    cloud.change(server_id, status="SHUTOFF")
    with transaction.atomic():
        engine.resume(engine.lock_for_decision(job, "resume"), staff, "It was stopped by its tenant.")
    work()
    assert VirtualMachine.objects.get().openstack_id == server_id


def test_a_copy_beside_the_portal_is_recognized_and_gets_a_number_of_its_own(backup):
    backup.take()
    restore_guard.record_epoch()
    original = restore_guard.DatabaseEpoch.objects.get()
    backup.restore()

    assert restore_guard.find_suspension() == restore_guard.OTHER_PLACE
    restore_guard.resume()

    assert restore_guard.find_suspension() == ""
    copy = restore_guard.DatabaseEpoch.objects.get()
    assert copy.installation != original.installation, "both may use the same Redis"
