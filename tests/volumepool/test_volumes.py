"""Volumes over REST: created, extended, renamed, attached, snapshotted, copied and deleted."""

from __future__ import annotations

import pytest

from cloudaccounts.connect import open_cloud
from tenants.quotas import measure_usage
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    VirtualMachineFactory,
    VolumeFactory,
)
from tests.vms.conftest import AdminClient, account, admin, catalogue, cloud, system
from tests.working import work
from volumepool.models import Claim, SpareVolume, Volume, VolumeSnapshot

__all__ = ["account", "admin", "catalogue", "cloud", "system"]
pytestmark = pytest.mark.usefixtures("catalogue")
URL = "/api/v1/volumes/"


@pytest.fixture
def request_volumes(admin, system):
    """`POST volumes/` for the administrator's system."""

    def post(**fields):
        return admin.post(URL, {"information_system": str(system.pk), **fields}, format="json")

    return post


@pytest.fixture
def volume(admin, request_volumes):
    """Create a volume of 2 GB by the portal."""
    admin.done(request_volumes(size_gb=2, name="data"))
    return Volume.objects.get()


@pytest.fixture
def act(admin, volume):
    """`POST volumes/{id}/actions/`."""
    return lambda action, **fields: admin.post(
        f"{URL}{volume.pk}/actions/", {"action": action, **fields}, format="json"
    )


def wrong(answer):
    assert answer.status_code == 400, answer.json()
    return set(answer.json()["errors"])


def code(answer):
    assert answer.status_code == 409, answer.json()
    return answer.json()["code"]


def in_cinder(cloud, volume):
    (found,) = [v for v in cloud.call("GET", "objects")["volumes"] if v["id"] == volume.volume_id]
    return found


def seen(volume):
    """Return the volume as the client reads it."""
    return open_cloud(volume.account, volume.region).block_storage.get_volume(volume.volume_id)


# --- New ones ----------------------------------------------------------------------------------------------


def test_volumes_of_a_size_are_made_and_marked(admin, request_volumes, cloud, cinder):
    admin.done(request_volumes(size_gb=3, count=2, name="data", volume_type="fake"))

    volumes = list(Volume.objects.order_by("name"))
    assert [(v.name, v.size_gb, v.type, v.status) for v in volumes] == [
        ("data-1", 3, "fake", "available"),
        ("data-2", 3, "fake", "available"),
    ]
    assert {(one["name"], one["size"]) for one in cinder.volumes().values()} == {("data-1", 3), ("data-2", 3)}
    assert cinder.is_consistent()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"type"}),
        ({"size_gb": 0}, {"size_gb"}),
        ({"size_gb": 10001}, {"size_gb"}),
        ({"size_gb": 1, "count": 0}, {"count"}),
        ({"size_gb": 1, "count": 10000}, {"count"}),
        ({"size_gb": 1, "volume_ids": ["x"]}, {"volume_ids"}),
        ({"size_gb": 1, "name": "a\u200eb"}, {"name"}),
        ({"size_gb": 1, "name": "\U0001f600"}, {"name"}),
        ({"size_gb": 1, "volume_type": "gold"}, {"volume_type"}),
        ({"size_gb": 1, "account": 10**15}, {"account"}),
        ({"size_gb": 1, "region": "Nowhere"}, {"region"}),
        ({"size_gb": 1, "colour": "red"}, {"colour"}),
        ({"snapshot": "00000000-0000-4000-8000-000000000000"}, {"snapshot"}),
        ({"type": "debian", "size_gb": 1}, {"size_gb"}),
        ({"type": "no-such-type"}, {"type"}),
    ],
)
def test_an_impossible_request_is_refused_before_anything_is_created(request_volumes, cinder, fields, named):
    assert wrong(request_volumes(**fields)) == named
    assert Volume.objects.count() == Claim.objects.count() == 0
    assert cinder.volumes() == {}


def test_the_tenants_quota_counts_all_of_them(admin, request_volumes, cinder):
    admin.member.tenant.quota_disk_gb = 5
    admin.member.tenant.save()

    assert code(request_volumes(size_gb=2, count=3)) == "quota_exceeded"
    assert Volume.objects.count() == 0
    admin.done(request_volumes(size_gb=2, count=2))


def test_a_full_cinder_ends_the_job_with_its_reason_and_leaves_nothing(admin, request_volumes, cloud, cinder):
    cloud.call("POST", "quotas", {"project": "demo", "volumes": 0})

    job = admin.ended(request_volumes(size_gb=2))

    assert job["status"] == "failed"
    assert "quota" in job["outcome"]["message"].lower() or "exceed" in job["outcome"]["message"].lower()
    assert Volume.objects.count() == 0
    assert cinder.volumes() == {}


# --- Extend ------------------------------------------------------------------------------------------------


def test_a_volume_is_extended_and_its_new_size_counts_from_the_request_on(admin, act, volume, cloud):
    answer = act("extend", size_gb=7)

    assert measure_usage(admin.member.tenant)["disk_gb"]["used"] == 7
    assert answer.json()["volume"]["extending_to_gb"] == 7
    admin.done(answer)
    volume.refresh_from_db()
    assert (volume.size_gb, volume.extending_to_gb, volume.status) == (7, None, "available")
    assert in_cinder(cloud, volume)["size"] == 7
    again = act("extend", size_gb=7)
    assert (again.status_code, again.json()["job"]) == (200, None)


def test_what_cannot_be_extended_is_refused(admin, act, volume):
    assert wrong(act("extend", size_gb=1)) == {"size_gb"}
    assert wrong(act("extend")) == {"size_gb"}
    assert wrong(act("extend", size_gb=3, name="x")) == {"name"}
    assert wrong(act("explode")) == {"action"}
    admin.member.tenant.quota_disk_gb = 3
    admin.member.tenant.save()
    assert code(act("extend", size_gb=4)) == "quota_exceeded"


def test_a_volume_on_a_vm_is_extended_but_not_what_the_vm_boots_from(admin, act, system, volume, cloud):
    admin.done(admin.new_vm(system))
    admin.done(act("attach", vm=admin.get("/api/v1/vms/").json()["results"][0]["id"]))

    admin.done(act("extend", size_gb=5))

    volume.refresh_from_db()
    assert (volume.size_gb, volume.status) == (in_cinder(cloud, volume)["size"], "in-use") == (5, "in-use")
    Volume.objects.update(is_boot=True)
    assert code(act("extend", size_gb=6)) == "in_use"


def test_an_extension_that_cinder_refuses_leaves_the_volume_as_it_was(admin, act, volume, cloud):
    cloud.call("POST", "quotas", {"project": "demo", "gigabytes": 3})

    job = admin.ended(act("extend", size_gb=9))

    assert job["status"] == "failed", job["outcome"]
    volume.refresh_from_db()
    assert (volume.size_gb, volume.extending_to_gb, volume.status) == (2, None, "available")
    assert in_cinder(cloud, volume)["size"] == 2


def test_the_answer_to_an_extension_is_lost(admin, act, volume, cloud):
    cloud.faults({"kind": "lose_answer", "method": "POST", "path": "/action", "times": 1})

    admin.done(act("extend", size_gb=9))

    volume.refresh_from_db()
    assert (volume.size_gb, in_cinder(cloud, volume)["size"]) == (9, 9)


# --- Rename ------------------------------------------------------------------------------------------------


def test_a_volume_is_renamed_in_cinder_too(admin, volume, cloud):
    admin.done(admin.patch(f"{URL}{volume.pk}/", {"name": "资料"}, format="json"))

    volume.refresh_from_db()
    assert volume.name == in_cinder(cloud, volume)["name"] == "资料"
    assert admin.patch(f"{URL}{volume.pk}/", {"name": "资料"}, format="json").status_code == 200
    assert wrong(admin.patch(f"{URL}{volume.pk}/", {"name": "\U0001f600"}, format="json")) == {"name"}


# --- Snapshots ---------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(admin, act):
    admin.done(act("snapshot", name="before"))
    return VolumeSnapshot.objects.get()


def test_a_snapshot_is_taken_copied_and_removed(admin, request_volumes, act, volume, snapshot, cloud, cinder):
    (kept,) = [s for s in cloud.call("GET", "objects")["snapshots"] if s["name"] == "before"]
    assert (snapshot.snapshot_id, snapshot.status, snapshot.size_gb) == (kept["id"], "available", 2)
    assert measure_usage(admin.member.tenant)["disk_gb"]["used"] == 4
    assert admin.get(f"{URL}snapshots/", {"volume": str(volume.pk)}).json()["results"][0]["name"] == "before"
    assert code(admin.delete(f"{URL}{volume.pk}/")) == "has_snapshots"

    assert wrong(request_volumes(snapshot=str(snapshot.pk), size_gb=1)) == {"size_gb"}
    admin.done(request_volumes(snapshot=str(snapshot.pk), size_gb=5, name="copy"))
    copy = Volume.objects.get(name="copy")
    assert (seen(copy).snapshot_id, copy.size_gb) == (kept["id"], 5)

    admin.done(admin.delete(f"{URL}snapshots/{snapshot.pk}/"))
    assert not VolumeSnapshot.objects.exists()
    assert "before" not in {s["name"] for s in cloud.call("GET", "objects")["snapshots"]}
    admin.done(admin.delete(f"{URL}{volume.pk}/"))


def test_a_volume_that_a_snapshot_is_taken_of_is_busy(act, volume):
    act("snapshot", name="one")

    assert code(act("extend", size_gb=9)) == "busy"
    assert code(act("snapshot", name="two")) == "busy"
    assert VolumeSnapshot.objects.count() == 1
    work()


def test_the_answer_to_a_snapshot_is_lost_and_there_is_one_all_the_same(admin, act, cloud):
    cloud.faults({"kind": "lose_answer", "method": "POST", "path": "/snapshots", "times": 1})

    admin.done(act("snapshot", name="once"))

    assert [s["name"] for s in cloud.call("GET", "objects")["snapshots"] if s["name"] == "once"] == ["once"]


def test_a_snapshot_that_cinder_refuses_leaves_no_row(admin, act, cloud):
    cloud.call("POST", "quotas", {"project": "demo", "snapshots": 0})

    assert admin.ended(act("snapshot", name="none"))["status"] == "failed"
    assert not VolumeSnapshot.objects.exists()


# --- On VMs ------------------------------------------------------------------------------------------------


def test_a_volume_is_attached_and_detached(admin, act, system, volume):
    assert code(act("detach")) == "not_attached"
    assert wrong(act("attach", vm="00000000-0000-4000-8000-000000000000")) == {"vm"}
    admin.done(admin.new_vm(system))
    vm = admin.get("/api/v1/vms/").json()["results"][0]

    admin.done(act("attach", vm=vm["id"]))
    volume.refresh_from_db()
    assert (str(volume.vm_id), volume.status) == (vm["id"], "in-use")
    admin.done(act("snapshot", name="while it runs"))
    admin.done(act("detach"))
    volume.refresh_from_db()
    assert (volume.vm_id, volume.status) == (None, "available")


def test_a_vm_is_not_removed_with_volumes_that_have_snapshots(admin, act, system, volume):
    admin.done(admin.new_vm(system))
    vm = admin.get("/api/v1/vms/").json()["results"][0]
    admin.done(act("attach", vm=vm["id"]))
    admin.done(act("snapshot", name="kept"))

    assert code(admin.delete(f"/api/v1/vms/{vm['id']}/?force=true")) == "has_snapshots"
    admin.done(admin.delete(f"/api/v1/vms/{vm['id']}/?force=true&volumes=keep"))
    assert Volume.objects.get().vm_id is None


# --- Walls -------------------------------------------------------------------------------------------------


def test_another_tenants_volumes_and_snapshots_are_not_there(request_volumes, act, volume, snapshot):
    others = AdminClient(MembershipFactory(role=Role.ADMIN))
    theirs = InformationSystemFactory(tenant=others.member.tenant)
    account = volume.account
    account.tenant = volume.information_system.tenant
    account.save()

    for path in (f"{volume.pk}/", f"snapshots/{snapshot.pk}/"):
        assert others.get(f"{URL}{path}").status_code == others.delete(f"{URL}{path}").status_code == 404
    assert others.post(f"{URL}{volume.pk}/actions/", {"action": "detach"}, format="json").status_code == 404
    copied = others.post(
        URL, {"information_system": str(theirs.pk), "snapshot": str(snapshot.pk)}, format="json"
    )
    assert wrong(copied) == {"snapshot"}
    stolen = request_volumes(type="debian", volume_ids=[volume.volume_id])
    assert wrong(stolen) == {"type"}, "there is no pool of it"


def test_an_operator_may_take_snapshots_but_not_make_remove_or_extend(admin, act, volume, system):
    operator = AdminClient(MembershipFactory(role=Role.OPERATOR, tenant=admin.member.tenant))
    actions = f"{URL}{volume.pk}/actions/"

    assert operator.post(actions, {"action": "extend", "size_gb": 9}, format="json").status_code == 403
    assert operator.delete(f"{URL}{volume.pk}/").status_code == 403
    wish = {"information_system": str(system.pk), "size_gb": 1}
    assert operator.post(URL, wish, format="json").status_code == 403
    operator.done(operator.post(actions, {"action": "snapshot", "name": "mine"}, format="json"))


def test_a_volume_in_error_that_is_attached_is_not_replaced(request_volumes, system, pool, account):
    vm = VirtualMachineFactory(information_system=system, account=account)
    broken = VolumeFactory(
        information_system=system, account=account, volume_id="broken", status="error", vm=vm
    )

    assert wrong(request_volumes(type="debian", volume_ids=["broken"])) == {"volume_ids"}
    assert Volume.objects.get() == broken


def test_the_options_name_the_types_of_ones_own_accounts(admin, system, pool):
    other = CloudAccountFactory(tenant=MembershipFactory().tenant)
    type(pool).objects.create(account=other, type="theirs", size_gb=1)
    SpareVolume.objects.create(
        pool=pool, volume_id="v1", name="spare-1", region=pool.region, size_gb=2, status="available"
    )

    (option,) = admin.get(f"{URL}options/").json()

    assert (option["type"], option["available"], option["size_gb"]) == ("debian", 1, 2)
    assert option["spares"] == [{"volume_id": "v1", "name": "spare-1"}]
