"""The status sync of volumes writes changes outside of the portal to their rows."""

from __future__ import annotations

import pytest

from cloudaccounts.connect import open_cloud
from tasks import engine
from tasks.models import EntityLock, Job
from tests.factories import InformationSystemFactory, MembershipFactory, VirtualMachineFactory, VolumeFactory
from tests.working import work
from vms.models import VMSnapshot
from volumepool.models import GONE, SpareVolume, Volume, VolumeSnapshot, VolumeSyncState
from volumepool.services import (
    accept_volume_losses,
    extend_volume,
    reconcile,
    rename_volume,
    request_volume_sync,
    select_stale_volume_states,
)
from volumepool.sync.status import sync_region
from volumepool.sync.volume_listing import KNOWN_STATUSES
from volumepool.volume_states import list_allowed_actions

REGION = "RegionOne"


@pytest.fixture
def storage(account):
    return open_cloud(account, REGION).block_storage


@pytest.fixture
def make(storage, account, system):
    """Return a function that creates volumes of the tenant, in Cinder too."""

    def one(name="data", size_gb=2, **columns):
        made = storage.create_volume(name=name, size_gb=size_gb)
        row = VolumeFactory(
            information_system=system,
            account=account,
            region=REGION,
            volume_id=made.id,
            name=name,
            size_gb=size_gb,
            status="available",
            **columns,
        )
        storage.add_metadata(made.id, {"portal_volume": str(row.pk)})
        return row

    return one


def sync(account):
    state = sync_region(account.pk, REGION)
    assert state.message == "", state.message
    return state.figures


def put(cloud, row, **columns):
    cloud.call("PATCH", f"volumes/{row.volume_id}", columns)


def remove(cloud, row):
    cloud.call("DELETE", f"volumes/{row.volume_id}")


def test_a_run_that_finds_nothing_new_writes_no_row(make, account):
    row = make()
    sync(account)
    before = Volume.objects.get(pk=row.pk).written_at

    figures = sync(account)

    assert (figures["synced"], figures["updated"]) == (1, 0)
    assert Volume.objects.get(pk=row.pk).written_at == before


@pytest.mark.parametrize("word", [*sorted(KNOWN_STATUSES - {"available"}), "a-word-of-tomorrow"])
def test_every_word_of_cinders_is_on_the_row_and_decides_what_may_be_asked(make, account, cloud, word):
    row = make()
    put(cloud, row, status=word)

    figures = sync(account)

    row.refresh_from_db()
    assert row.status == word
    assert figures["unknown_words"] == ({} if word in KNOWN_STATUSES else {word: 1})
    assert "attach" not in list_allowed_actions(row)
    assert ("remove" in list_allowed_actions(row)) == (
        (word.startswith("error") and "deleting" not in word) or word in {
            "reserved", "attaching", "detaching", "creating", "a-word-of-tomorrow",
        }
    )  # fmt: skip


def test_size_and_name_follow_unless_the_name_is_still_the_pools(make, account, cloud):
    row, spare = make(), make("mine")
    put(cloud, row, name="renamed", size=7)
    put(cloud, spare, name="spare-igw-1", metadata={})

    sync(account)

    row.refresh_from_db(), spare.refresh_from_db()
    assert (row.name, row.size_gb) == ("renamed", 7)
    assert spare.name == "mine"


def test_an_attachment_behind_our_back_is_followed_both_ways(make, account, cloud, storage, system):
    row = make()
    (server,) = cloud.seed(1)
    vm = VirtualMachineFactory(information_system=system, account=account, region=REGION, openstack_id=server)
    open_cloud(account, REGION).compute.attach_volume(server, row.volume_id)

    sync(account)

    row.refresh_from_db()
    assert (row.status, row.vm_id, row.server_id, row.device) == ("in-use", vm.pk, server, "/dev/vdb")
    assert row.problem == ""
    open_cloud(account, REGION).compute.detach_volume(server, row.volume_id)
    sync(account)
    row.refresh_from_db()
    assert (row.status, row.vm_id, row.server_id, row.device) == ("available", None, "", "")


def test_another_tenants_vm_is_not_shown_and_an_unknown_server_is_told(make, account, cloud):
    row = make()
    (server,) = cloud.seed(1)
    theirs = InformationSystemFactory(tenant=MembershipFactory().tenant)
    VirtualMachineFactory(information_system=theirs, account=account, region=REGION, openstack_id=server)
    open_cloud(account, REGION).compute.attach_volume(server, row.volume_id)

    sync(account)

    row.refresh_from_db()
    assert (row.vm_id, row.server_id) == (None, server)
    assert server in row.problem and list_allowed_actions(row) == ["extend", "rename", "snapshot"]


def test_what_is_reserved_says_for_which_server(make, account, cloud):
    row = make()
    (server,) = cloud.seed(1)
    cloud.faults({"kind": "lose_begun", "method": "POST", "path": "os-volume_attachments", "times": 1})
    open_cloud(account, REGION).compute.attach_volume(server, row.volume_id)

    sync(account)

    row.refresh_from_db()
    assert (row.status, row.server_id) == ("reserved", server)


@pytest.mark.parametrize("by", ["nova", "cinder"])
def test_nova_and_cinder_disagree_and_people_are_told(make, account, cloud, by):
    row = make()
    (server,) = cloud.seed(1)
    if by == "nova":
        attached = {"id": row.volume_id, "device": "/dev/vdb", "delete_on_termination": False}
        cloud.change(server, volumes=[attached])
    else:
        there = {"server_id": server, "volume_id": row.volume_id, "id": row.volume_id, "device": "/dev/vdb"}
        put(cloud, row, status="in-use", attachments=[there])

    figures = sync(account)

    row.refresh_from_db()
    assert row.has_conflicting_servers and server in row.problem and figures["differing"] == 1
    cloud.change(server, volumes=[])
    put(cloud, row, status="available", attachments=[])
    sync(account)
    row.refresh_from_db()
    assert not row.has_conflicting_servers and row.problem == ""


def test_a_volume_missing_twice_is_gone_until_it_is_listed_again(make, account, cloud, storage):
    row, _other, _third = make(), make(), make()
    raw = {"id": row.volume_id}
    remove(cloud, row)

    assert sync(account)["missing"] == 1
    row.refresh_from_db()
    assert row.status == "available"
    sync(account)

    row.refresh_from_db()
    assert (row.status, list_allowed_actions(row), row.vm_id) == (GONE, ["remove"], None)
    assert raw["id"] == row.volume_id
    sync(account)
    assert Volume.objects.get(pk=row.pk).status == GONE


def test_a_mass_loss_is_marked_only_after_confirmation(make, account, cloud):
    rows = [make() for _ in range(3)]
    sync(account)
    for row in rows:
        remove(cloud, row)

    state = sync_region(account.pk, REGION)

    assert "3 of 3" in state.message
    assert set(Volume.objects.values_list("status", "missing_count")) == {("available", 0)}
    for _ in range(2):
        accept_volume_losses(VolumeSyncState.objects.all())
        sync(account)
    assert set(Volume.objects.values_list("status", flat=True)) == {GONE}


def test_what_a_job_holds_or_has_just_written_is_left_alone(make, account, cloud):
    held, of_held_vm, fresh = make(), make(), make()
    job = Job.objects.create(kind="x", deadline="2100-01-01T00:00Z")
    vm = VirtualMachineFactory(
        information_system=held.information_system, account=account, region=REGION, openstack_id="s-1"
    )
    Volume.objects.filter(pk=of_held_vm.pk).update(vm=vm)
    EntityLock.objects.create(key=held.lock_key, job=job)
    EntityLock.objects.create(key=f"vm:{vm.pk}", job=job)
    Volume.objects.filter(pk=fresh.pk).update(written_at="2100-01-01T00:00Z")
    for row in (held, of_held_vm, fresh):
        put(cloud, row, status="error")

    figures = sync(account)

    assert (figures["updated"], figures["skipped"]) == (0, 3)
    assert set(Volume.objects.values_list("status", flat=True)) == {"available"}


def test_a_job_that_is_told_that_it_is_gone_writes_so_at_once(make, scope, cloud):
    row = make()
    remove(cloud, row)

    rename_volume(scope=scope, volume_id=row.pk, name="other")
    work()

    row.refresh_from_db()
    assert row.status == GONE
    assert Job.objects.get().status == "failed"


def test_snapshots_follow_too(make, account, cloud, storage, system):
    row = make()
    made = [storage.create_snapshot(row.volume_id, name=name) for name in ("a", "b")]
    rows = [
        VolumeSnapshot.objects.create(
            information_system=system, account=account, region=REGION, volume=row, snapshot_id=one.id,
            name=one.name, size_gb=2, status="available",
        )
        for one in made
    ]  # fmt: skip
    image = VMSnapshot.objects.create(
        information_system=system, account=account, region=REGION, vm_id=row.pk, vm_name="x", name="x",
        image_id="00000000-0000-4000-8000-000000000001", status="active",
    )  # fmt: skip
    cloud.call("PATCH", f"snapshots/{made[0].id}", {"status": "error_deleting"})
    cloud.call("DELETE", f"snapshots/{made[1].id}")

    sync(account), sync(account)

    assert [VolumeSnapshot.objects.get(pk=one.pk).status for one in rows] == ["error_deleting", GONE]
    image.refresh_from_db()
    assert image.status == "gone"


def test_a_sync_is_requested_and_stale_regions_are_found(make, account, scope):
    make()
    VolumeSyncState.objects.create(account=account, region=REGION)
    assert [state.region for state in select_stale_volume_states()] == [REGION]

    assert request_volume_sync(scope=scope) == [(account.pk, REGION)]

    sync(account)
    assert not select_stale_volume_states().exists()


@pytest.mark.parametrize(
    "word", ["maintenance", "backing-up", "retyping", "awaiting-transfer", "a-word-of-tomorrow"]
)
def test_a_spare_that_cinder_is_busy_with_is_nobodys_until_it_is_ready_again(full, account, cloud, word):
    spare = SpareVolume.objects.claimable().first()
    put(cloud, spare, status=word)

    reconcile(account.pk, REGION)

    assert spare.pk not in SpareVolume.objects.claimable().values_list("pk", flat=True)
    put(cloud, spare, status="available")
    reconcile(account.pk, REGION)
    assert spare.pk in SpareVolume.objects.claimable().values_list("pk", flat=True)


def test_the_end_of_a_watch_on_a_volume_names_the_volume(make, scope, cloud):
    row = make("named")
    cloud.clock(volume_seconds=1e6)
    extend_volume(scope=scope, volume_id=row.pk, size_gb=5)
    job = Job.objects.get()
    engine.advance(job.pk)
    remove(cloud, row)

    work()

    job.refresh_from_db()
    assert (
        job.status == "failed" and "'named' is gone" in job.outcome_message and "req-" in job.outcome_message
    )
    row.refresh_from_db()
    assert row.status == GONE
