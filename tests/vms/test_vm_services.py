"""The services of VMs: resize, volumes, snapshots, console, changes, deletion and export."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import MembershipFactory, VirtualMachineFactory, VolumeFactory
from tests.working import wait_for, work
from vms.models import ConsoleReading, Resize, VirtualMachine, VMOperationLog, VMSnapshot
from vms.services import confirm_due_resizes
from volumepool.models import Volume

from .conftest import AdminClient

pytestmark = pytest.mark.usefixtures("catalogue")


@pytest.fixture
def vm(admin, system):
    """Create a running VM by the portal."""
    admin.done(admin.new_vm(system))
    return VirtualMachine.objects.get()


@pytest.fixture
def url(vm):
    return f"/api/v1/vms/{vm.pk}/"


def code_of(answer, status=409):
    assert answer.status_code == status, answer.json()
    return answer.json()["code"]


# --- Resize ------------------------------------------------------------------------------------------------


def test_while_a_resize_waits_nothing_else_is_done_and_the_quota_counts_the_larger(admin, vm, url, cloud):
    tenant = admin.member.tenant
    tenant.quota_cpu_cores = 4
    tenant.save()
    too_much = admin.post(f"{url}resize/", {"cpu_cores": 8, "memory_gb": 16})
    assert code_of(too_much) == "quota_exceeded"
    assert too_much.json()["quota"] == {"cpu_cores": {"needed": 6, "left": 2, "total": 4}}
    dry = admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8, "dry_run": True})
    assert (dry.status_code, Resize.objects.count()) == (200, 0)

    admin.done(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))

    usage = admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()
    assert usage["cpu_cores"]["used"] == 4
    for action in ("stop", "restart", "shelve"):
        refused = admin.post(f"{url}actions/", {"action": action})
        assert code_of(refused) == "wrong_state"
        assert refused.json()["allowed"] == ["confirm_resize", "revert_resize"]
    for size in ({"cpu_cores": 8, "memory_gb": 16}, {"cpu_cores": 64, "memory_gb": 512}):
        # Also of a size that there is not: the state is answered before the data.
        assert code_of(admin.post(f"{url}resize/", size)) == "wrong_state"
    admin.done(admin.post(f"{url}actions/", {"action": "revert_resize"}))
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()["cpu_cores"]["used"] == 2
    assert code_of(admin.post(f"{url}actions/", {"action": "confirm_resize"})) == "wrong_state"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"cpu_cores": 2, "memory_gb": 4}, "cpu_cores"),
        ({"cpu_cores": 4, "memory_gb": 8, "disk_gb": 20}, "disk_gb"),
        ({"cpu_cores": 64, "memory_gb": 8}, "cpu_cores"),
        ({"cpu_cores": 0, "memory_gb": 8}, "cpu_cores"),
    ],
)
def test_sizes_without_a_flavor_are_refused(admin, url, params, field):
    answer = admin.post(f"{url}resize/", params)

    assert (code_of(answer, 400), list(answer.json()["errors"])) == ("invalid", [field])


def test_a_resize_that_the_cloud_cannot_do_leaves_the_old_size(admin, url, cloud):
    cloud.call("POST", "failing_resizes", {"times": 1, "fault": "No valid host.", "ends": "as before"})

    job = admin.ended(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))

    assert job["status"] == "failed"
    shown = admin.get(url).json()
    assert (shown["cpu_cores"], shown["resize"], shown["status"]) == (2, None, "running")
    assert "stop" in shown["allowed_actions"]


@pytest.mark.parametrize("change", ["shelve_server", "pause_server", "suspend_server"])
def test_a_resize_of_a_server_that_was_changed_outside_fails_and_is_rolled_back(
    admin, vm, url, account, change
):
    compute = open_cloud(account, "RegionOne").compute
    getattr(compute, change)(vm.openstack_id)
    wait_for(change, lambda: compute.get_server(vm.openstack_id).task_state is None)

    job = admin.ended(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "wrong_state")
    assert admin.get(url).json()["resize"] is None


def test_a_resize_is_confirmed_by_itself_when_nobody_does(admin, vm, url):
    admin.done(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))
    assert confirm_due_resizes() == 0
    Resize.objects.update(confirms_at=timezone.now() - timedelta(seconds=1))

    assert confirm_due_resizes() == 1

    work()
    assert admin.get(url).json()["cpu_cores"] == 4
    entry = VMOperationLog.objects.filter(operation="confirm_resize").get()
    assert (entry.operator, entry.success) == ("", True)


def test_a_resize_that_was_ended_elsewhere_is_as_the_cloud_says(admin, vm, url, account):
    admin.done(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))
    open_cloud(account, "RegionOne").compute.revert_resize(vm.openstack_id)

    admin.done(admin.post(f"{url}actions/", {"action": "confirm_resize"}))

    shown = admin.get(url).json()
    assert (shown["cpu_cores"], shown["flavor_name"], shown["resize"]) == (2, "2c-4g-40g", None)


@pytest.mark.parametrize("change", ["shelve_server", "pause_server", "suspend_server"])
def test_a_resize_that_was_ended_elsewhere_before_something_else_was_done_is_over(
    admin, vm, url, account, cloud, change
):
    """It must not wait for a status that the server will never have: nothing else could be done with the VM."""
    cloud.clock(action_seconds=0)
    admin.done(admin.post(f"{url}resize/", {"cpu_cores": 4, "memory_gb": 8}))
    compute = open_cloud(account, "RegionOne").compute
    compute.confirm_resize(vm.openstack_id)
    getattr(compute, change)(vm.openstack_id)

    admin.done(admin.post(f"{url}actions/", {"action": "confirm_resize"}))

    shown = admin.get(url).json()
    assert (shown["cpu_cores"], shown["flavor_name"], shown["resize"]) == (4, "4c-8g-100g", None)


# --- Volumes -----------------------------------------------------------------------------------------------


def test_volumes_of_others_and_of_other_places_are_not_attached(admin, vm, url):
    theirs = VolumeFactory()
    elsewhere = VolumeFactory(information_system=vm.information_system)
    taken = VolumeFactory(
        information_system=vm.information_system,
        account=vm.account,
        vm=VirtualMachineFactory(information_system=vm.information_system),
    )
    for volume in (theirs, elsewhere, taken):
        answer = admin.post(f"{url}volumes/", {"volume": str(volume.pk)})
        assert (code_of(answer, 400), list(answer.json()["errors"])) == ("invalid", ["volume"])
    for nonsense in ({}, {"volume": str(taken.pk), "size_gb": 5}, {"size_gb": 5, "type": "gold"}):
        assert code_of(admin.post(f"{url}volumes/", nonsense), 400) == "invalid"
    assert admin.delete(f"{url}volumes/{taken.pk}/").status_code == 404
    assert not Job.objects.exclude(status="succeeded").exists()


def test_a_new_volume_counts_and_one_that_cannot_be_made_leaves_nothing(admin, vm, url, cloud):
    tenant = admin.member.tenant
    tenant.quota_disk_gb = 45
    tenant.save()
    assert code_of(admin.post(f"{url}volumes/", {"size_gb": 6})) == "quota_exceeded"
    cloud.faults({"service": "volume", "method": "POST", "kind": "status", "status": 413, "times": 1})

    job = admin.ended(admin.post(f"{url}volumes/", {"size_gb": 5}))

    assert job["status"] == "failed"
    assert not Volume.objects.exists()
    assert admin.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()["disk_gb"]["used"] == 40


def test_the_volume_that_a_vm_boots_from_stays_on_it(admin, system):
    answer = admin.new_vm(system, boot_volume=True)
    admin.done(answer)
    url = f"/api/v1/vms/{answer.json()['vm']['id']}/"
    boot = Volume.objects.get()

    assert code_of(admin.delete(f"{url}volumes/{boot.pk}/")) == "boot_volume"
    assert code_of(admin.delete(f"/api/v1/volumes/{boot.pk}/")) == "in_use"


# --- Snapshots and console ---------------------------------------------------------------------------------


def test_a_snapshot_that_fails_leaves_nothing(admin, vm, url, cloud):
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/action",
            "kind": "status",
            "status": 409,
            "times": 1,
        }
    )

    job = admin.ended(admin.post(f"{url}snapshots/", {"name": "before"}))

    assert job["status"] == "failed"
    assert not VMSnapshot.objects.exists()
    assert admin.get("/api/v1/vms/snapshots/").json()["count"] == 0


def test_a_snapshot_outlives_its_vm(admin, vm, url, cloud):
    admin.done(admin.post(f"{url}snapshots/", {"name": "before"}))
    admin.done(admin.delete(f"{url}?force=true"))

    (snapshot,) = admin.get("/api/v1/vms/snapshots/").json()["results"]
    assert (snapshot["name"], snapshot["vm_name"]) == ("before", "shop-1")
    assert admin.get(f"{url}operations/").json()["count"] == 3, "and so does the log"
    admin.done(admin.delete(f"/api/v1/vms/snapshots/{snapshot['id']}/"))
    assert not CloudResource.objects.present().filter(cloud_id=snapshot["image_id"]).exists()


def test_a_console_text_is_for_its_user_and_encrypted(admin, vm, url, settings):
    assert code_of(
        AdminClient(MembershipFactory(tenant=admin.member.tenant, role=Role.VIEWER)).get(f"{url}console/"),
        403,
    )
    admin.done(admin.post(f"{url}console/", {"reading": "url"}))
    address = admin.get(f"{url}console/").json()["url"]
    assert address.startswith("http")
    assert address not in ConsoleReading.objects.get().encrypted_text
    assert "token" not in str(Job.objects.filter(kind="vms.read_console").values_list("data", "params")), (
        "nor in the job"
    )

    colleague = AdminClient(MembershipFactory(tenant=admin.member.tenant, role=Role.OPERATOR))
    assert colleague.get(f"{url}console/").json()["url"] is None
    settings.CONSOLE_URL_SECONDS = 0
    assert admin.get(f"{url}console/").json()["url"] is None, "forgotten when the cloud has"


def test_the_console_url_of_a_stopped_vm_is_refused(admin, vm, url):
    admin.done(admin.post(f"{url}actions/", {"action": "stop"}))

    assert code_of(admin.post(f"{url}console/", {"reading": "url"})) == "wrong_state"
    admin.done(admin.post(f"{url}console/", {"reading": "log"}))


def test_a_console_reading_does_not_lock_the_vm(admin, vm, url):
    assert admin.post(f"{url}console/", {"reading": "log"}).status_code == 202

    assert admin.post(f"{url}actions/", {"action": "stop"}).status_code == 202


# --- Changes -----------------------------------------------------------------------------------------------


def test_what_is_ours_is_changed_at_once_and_what_is_the_clouds_by_a_job(admin, vm, url, cloud):
    etag = admin.get(url)["ETag"]
    answer = admin.patch(url, {"description": "New.", "name": "shop-1"}, headers={"If-Match": etag})
    assert (answer.status_code, answer.json()["job"]) == (200, None), "the name is the same"
    assert answer.json()["vm"]["description"] == "New."
    stale = admin.patch(url, {"description": "Newer."}, headers={"If-Match": etag})
    assert code_of(stale, 412) == "precondition_failed"

    answer = admin.patch(url, {"name": "shop-2", "runtime_end": "2999-01-01"})

    assert answer.json()["vm"]["name"] == "shop-1", "until the cloud has it"
    assert answer.json()["vm"]["runtime_end"] == "2999-01-01"
    admin.done(answer)
    server = next(s for s in cloud.call("GET", "objects")["servers"] if s["id"] == vm.openstack_id)
    assert (server["name"], admin.get(url).json()["name"]) == ("shop-2", "shop-2")
    assert server["metadata"]["portal_vm"] == str(vm.pk)


def test_a_change_that_is_refused_changes_nothing(admin, vm, url):
    admin.post(f"{url}actions/", {"action": "stop"})

    answer = admin.patch(url, {"name": "shop-2", "description": "New."})

    assert code_of(answer) == "busy"
    assert admin.get(url).json()["description"] == ""
    assert list(
        admin.patch(url, {"runtime_start": "2999-02-01", "runtime_end": "2999-01-01"}).json()["errors"]
    ) == ["runtime_end"]
    assert code_of(admin.patch(url, {"cpu_cores": 8}), 400) == "invalid"


# --- Removal -----------------------------------------------------------------------------------------------


def test_removal_with_volumes_kept(admin, system, cloud):
    answer = admin.new_vm(system, boot_volume=True)
    admin.done(answer)
    url = f"/api/v1/vms/{answer.json()['vm']['id']}/"
    admin.done(admin.post(f"{url}volumes/", {"size_gb": 1, "name": "data"}))

    admin.done(admin.delete(f"{url}?volumes=keep&force=true"))

    volumes = admin.get("/api/v1/volumes/?attached=false").json()["results"]
    assert {volume["name"]: volume["status"] for volume in volumes} == {
        "shop-1": "available",
        "data": "available",
    }
    assert [volume["is_boot"] for volume in volumes] == [False, False]
    assert cloud.call("GET", "objects")["servers"] == []


def test_a_removal_that_got_stuck_at_a_volume_can_be_asked_for_again(admin, vm, url, cloud):
    admin.done(admin.post(f"{url}volumes/", {"size_gb": 1, "name": "data"}))
    cloud.faults({"service": "volume", "method": "DELETE", "kind": "status", "status": 403, "times": 1})

    job = admin.ended(admin.delete(f"{url}?force=true"))

    assert (job["status"], job["outcome"]["code"]) == ("failed", "volumes_left")
    assert "data" in job["outcome"]["message"]
    assert admin.get(url).json()["status"] == "removed"
    admin.done(admin.delete(url))
    assert not VirtualMachine.objects.exists()
    assert not Volume.objects.exists()


def test_a_vm_that_never_had_a_server_is_removed(admin, system, account):
    vm = VirtualMachineFactory(information_system=system, account=account, openstack_id=None, status="error")

    admin.done(admin.delete(f"/api/v1/vms/{vm.pk}/"))

    assert not VirtualMachine.objects.exists()


def test_a_vm_whose_server_is_gone_is_deleted(admin, vm, url, cloud):
    cloud.remove(vm.openstack_id)

    admin.done(admin.delete(f"{url}?force=true"))

    assert not VirtualMachine.objects.exists()


def test_a_dry_removal_says_what_would_be_and_does_nothing(admin, vm, url):
    assert code_of(admin.delete(f"{url}?dry_run=true")) == "wrong_state"
    assert admin.delete(f"{url}?dry_run=true&force=true").status_code == 200
    assert admin.get(url).json()["desired_state"] == "running"
    assert code_of(admin.delete(f"{url}?volumes=burn"), 400) == "invalid"


# --- Export ------------------------------------------------------------------------------------------------


def test_the_export_has_the_filters_of_the_list_and_no_formulas(admin, vm):
    system = vm.information_system
    VirtualMachineFactory(
        information_system=system, account=vm.account, name="=1+1", status="stopped", description="a,\nb"
    )
    VirtualMachineFactory(name="theirs")

    answer = admin.get("/api/v1/vms/export/?ordering=name")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))

    assert answer["Content-Type"].startswith("text/csv")
    assert [row["name"] for row in rows] == ["'=1+1", "shop-1"]
    assert rows[0]["description"] == "a,\nb"
    filtered = admin.get("/api/v1/vms/export/?status=running").getvalue().decode()
    assert filtered.count("\n") == 2
    assert admin.get("/api/v1/vms/export/?colour=red").status_code == 400


def test_two_identical_requests_are_one_job(admin, vm, url):
    one = admin.delete(f"{url}?force=true").json()["job"]["id"]

    again = admin.delete(f"{url}?force=true")

    assert (again.status_code, again.json()["job"]["id"], again.json()["changed"]) == (202, one, False)
    assert code_of(admin.delete(f"{url}?force=true&volumes=keep")) == "busy"
    assert engine.lock_holder(vm.lock_key) is not None
