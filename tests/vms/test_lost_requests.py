"""Requests that a cloud has accepted and lost: the job sends them again, or fails with the reason."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from cloudaccounts.connect import open_cloud
from tasks.models import IN_FLIGHT, Job
from tests.factories import VolumeFactory
from tests.lost import advance_as_if_due, losing_at_once, work_with_losses
from tests.working import work
from vms.commands.power import RestartVmCommand
from vms.models import VirtualMachine
from volumepool.models import Volume

pytestmark = pytest.mark.usefixtures("catalogue")
ACTION = r"/servers/[^/]+/action$"
ATTACHMENTS = r"/os-volume_attachments"


@pytest.fixture
def vm(admin, system):
    """A running VM."""
    admin.done(admin.new_vm(system))
    return VirtualMachine.objects.get()


@pytest.fixture
def volume(admin, system, account):
    """A free volume of the tenant's, in Cinder too."""
    made = open_cloud(account, "RegionOne").block_storage.create_volume(name="data", size_gb=2)
    return VolumeFactory(
        information_system=system,
        account=account,
        region="RegionOne",
        volume_id=made.id,
        name="data",
        size_gb=2,
        status="available",
    )


@pytest.fixture
def url(vm):
    return f"/api/v1/vms/{vm.pk}/"


def lose(cloud, kind, method, path, times=1):
    cloud.faults({"kind": kind, "method": method, "path": path, "times": times})


def job_of(answer):
    return Job.objects.get(pk=answer.json()["job"]["id"])


def volumes_of_ours(cloud):
    """Return the volumes with the portal's metadata in Cinder."""
    found = cloud.call("GET", "objects")["volumes"]
    return [volume for volume in found if "portal" in volume.get("metadata", {})]


def ended(answer):
    """Run the job of an accepted request to its end while time passes."""
    assert answer.status_code == 202, answer.json()
    work_with_losses()
    return job_of(answer)


def attach(admin, url, volume):
    return admin.post(f"{url}volumes/", {"volume": str(volume.pk)})


@pytest.mark.parametrize("action", ["stop", "pause", "suspend", "shelve"])
def test_an_action_of_which_there_is_no_trace_is_asked_for_again(admin, vm, url, cloud, action):
    lose(cloud, "lose_all", "POST", ACTION)

    job = ended(admin.post(f"{url}actions/", {"action": action}))

    assert job.status == "succeeded", job.outcome_message
    word = "os-stop" if action == "stop" else action
    assert cloud.accepted(vm.openstack_id, word) == 2


def test_an_action_that_nobody_works_on_ends_and_says_which_request_it_was(admin, vm, url, cloud):
    lose(cloud, "lose_begun", "POST", ACTION)

    job = ended(admin.post(f"{url}actions/", {"action": "stop"}))

    assert (job.status, job.outcome_code) == ("failed", "lost_by_cloud")
    assert "powering-off" in job.outcome_message and "req-" in job.outcome_message
    assert not Job.objects.filter(status__in=IN_FLIGHT).exists()


def test_an_action_that_nova_works_on_is_waited_for(admin, vm, url, cloud):
    cloud.clock(action_seconds=1e6)
    answer = admin.post(f"{url}actions/", {"action": "stop"})

    with losing_at_once():
        advance_as_if_due(8)

    assert job_of(answer).status == "waiting"
    cloud.clock(action_seconds=0, advance_seconds=2e6)
    work_with_losses()
    assert job_of(answer).status == "succeeded"


def test_a_restart_that_nova_has_begun_and_dropped_is_asked_for_as_a_hard_one(
    admin, vm, url, cloud, monkeypatch
):
    """Seen on a real cloud: nova-compute was killed while it restarted, and left the server `rebooting`."""
    monkeypatch.setattr(RestartVmCommand, "longest_work", timedelta(0))
    cloud.clock(action_seconds=1e6)
    answer = admin.post(f"{url}actions/", {"action": "restart"})
    with losing_at_once():
        advance_as_if_due(2)
    cloud.clock(action_seconds=0)

    work_with_losses()

    assert job_of(answer).status == "succeeded"
    assert cloud.accepted(vm.openstack_id, "reboot") == 2


def test_a_removal_that_nova_has_given_up_is_asked_for_again(admin, vm, url, cloud):
    cloud.clock(action_seconds=1e6)
    answer = admin.delete(f"{url}?force=true")
    with losing_at_once():
        advance_as_if_due(2)
    cloud.clock(action_seconds=0)
    cloud.change(vm.openstack_id, status="ERROR", fault="gave up")

    work_with_losses()

    assert job_of(answer).status == "succeeded"
    assert cloud.accepted(vm.openstack_id, "delete") == 2
    assert not VirtualMachine.objects.exists()


def test_a_server_that_is_never_built_goes_and_the_job_says_so(admin, system, cloud, vm):
    lose(cloud, "lose_begun", "POST", r"/servers$")
    answer = admin.new_vm(system, name="lost")
    with losing_at_once():
        advance_as_if_due(3)
    # One that was asked for later is through; Nova dates in whole seconds.
    time.sleep(1.1)
    admin_vm = cloud.seed(1)
    work_with_losses()

    job = job_of(answer)
    assert (job.status, job.outcome_code) == ("failed", "lost_by_cloud")
    servers = {server["id"] for server in cloud.call("GET", "objects")["servers"]}
    assert servers == {vm.openstack_id, *admin_vm}


def test_a_server_in_error_whose_deletion_died_inside_nova_is_deleted_again(admin, system, cloud):
    """Seen on a real cloud: ERROR and "deleting" for ever, and the creation stayed undoing behind it."""
    cloud.call("POST", "failing_builds", {"times": 1})
    lose(cloud, "lose_begun", "DELETE", r"/servers/[^/]+$")
    answer = admin.new_vm(system)

    work_with_losses()

    assert job_of(answer).status == "failed"
    assert cloud.call("GET", "objects")["servers"] == []
    assert cloud.counts()["actions"]["delete"]["accepted"] == 2


def test_a_volume_that_neither_side_has_is_attached_by_asking_again(admin, vm, url, cloud, volume):
    lose(cloud, "lose_all", "POST", ATTACHMENTS)

    job = ended(attach(admin, url, volume))

    assert job.status == "succeeded", job.outcome_message
    volume.refresh_from_db()
    assert (volume.status, volume.vm_id, volume.server_id) == ("in-use", vm.pk, vm.openstack_id)


def test_an_attachment_that_died_inside_nova_ends_and_frees_the_volume(admin, vm, url, cloud, volume):
    """The example: Nova lists the volume, Cinder keeps it reserved, and nobody works on it."""
    lose(cloud, "lose_begun", "POST", ATTACHMENTS)

    job = ended(attach(admin, url, volume))

    assert (job.status, job.outcome_code) == ("failed", "lost_by_cloud")
    assert "reserved" in job.outcome_message and "req-" in job.outcome_message
    volume.refresh_from_db()
    assert (volume.status, volume.vm_id) == ("available", None)
    seen = open_cloud(volume.account, "RegionOne").block_storage.get_volume(volume.volume_id)
    assert seen.status == "available"


def test_a_volume_that_nova_lists_and_cinder_does_not_have_is_no_success(admin, vm, url, cloud, volume):
    lose(cloud, "lose_begun", "POST", ATTACHMENTS)
    answer = attach(admin, url, volume)
    with losing_at_once():
        advance_as_if_due(1)
    cloud.call("PATCH", f"volumes/{volume.volume_id}", {"status": "available", "_server": None})

    work_with_losses()

    job = job_of(answer)
    assert (job.status, job.outcome_code) == ("failed", "lost_by_cloud")
    volume.refresh_from_db()
    assert (volume.status, volume.vm_id) == ("available", None)


def test_a_detachment_that_was_lost_is_taken_back_and_asked_for_again(admin, vm, url, cloud, volume):
    admin.done(attach(admin, url, volume))
    lose(cloud, "lose_begun", "DELETE", ATTACHMENTS)

    job = ended(admin.delete(f"{url}volumes/{volume.pk}/"))

    assert job.status == "succeeded", job.outcome_message
    volume.refresh_from_db()
    assert (volume.status, volume.vm_id) == ("available", None)


def test_what_cinder_keeps_of_a_server_that_is_gone_does_not_hold_a_removal(admin, vm, url, cloud, volume):
    admin.done(attach(admin, url, volume))
    # The server's removal went past Cinder: it still says that the server has the volume.
    before = next(v for v in cloud.call("GET", "objects")["volumes"] if v["id"] == volume.volume_id)
    cloud.remove(vm.openstack_id)
    kept = {"status": "in-use", "attachments": before["attachments"]}
    cloud.call("PATCH", f"volumes/{volume.volume_id}", kept)

    job = ended(admin.delete(f"{url}?force=true"))

    assert job.status == "succeeded", job.outcome_message
    assert not Volume.objects.exists()
    assert volume.volume_id not in {one["id"] for one in cloud.call("GET", "objects")["volumes"]}


def test_a_volume_that_is_never_made_ends_its_job(admin, system, cloud, account):
    lose(cloud, "lose_begun", "POST", r"/volumes$")
    body = {"information_system": str(system.pk), "size_gb": 1}

    answer = admin.post("/api/v1/volumes/", body, format="json")
    assert answer.status_code == 202, answer.json()
    with losing_at_once():
        advance_as_if_due(12)

    child = Job.objects.get(kind="volumepool.create_volume")
    assert child.outcome_code == "lost_by_cloud"
    # Cinder removes nothing that is `creating`: it is set free, and then it is removed.
    (made,) = volumes_of_ours(cloud)
    cloud.call("PATCH", f"volumes/{made['id']}", {"status": "error"})
    work_with_losses()
    assert volumes_of_ours(cloud) == []


def test_the_end_of_a_watch_says_what_was_seen_and_who_was_there_last(admin, vm, url, cloud, account):
    cloud.clock(action_seconds=1e6)
    answer = admin.post(f"{url}actions/", {"action": "stop"})
    with losing_at_once():
        advance_as_if_due(2)
    cloud.clock(action_seconds=0)
    cloud.change(vm.openstack_id, status="ACTIVE")
    open_cloud(account, "RegionOne").compute.pause_server(vm.openstack_id)

    work()

    job = job_of(answer)
    assert job.status == "failed"
    assert "PAUSED" in job.outcome_message
    assert "'pause'" in job.outcome_message and job.outcome_message.count("req-") == 2


# --- Nova hides a server whose end then fails on its host ---------------------------------------------------


@pytest.mark.parametrize("force", [True, False], ids=["by force", "where force is for administrators"])
def test_a_server_that_comes_back_after_a_failed_deletion_is_ended(admin, vm, url, cloud, force):
    cloud.call("POST", "soft_delete", {"enabled": False, "force": force})
    cloud.call("POST", "habits", {"failing_deletions": 1})

    job = job_of(admin.delete(f"{url}?force=true"))
    advance_as_if_due(6)
    hidden = cloud.call("GET", "objects")["servers"]
    job.refresh_from_db()

    assert [server["status"] for server in hidden] in ([], ["DELETED"])
    assert job.status in IN_FLIGHT

    cloud.call("POST", "clock", {"advance_seconds": 61})
    work_with_losses()
    job.refresh_from_db()

    assert job.status == "succeeded"
    assert [one["status"] for one in cloud.call("GET", "objects")["servers"]] in ([], ["DELETED"])
    assert not VirtualMachine.objects.exists()


def test_a_creation_taken_back_ends_a_server_that_comes_back(admin, system, cloud):
    cloud.call("POST", "habits", {"failing_deletions": 1})
    cloud.call("POST", "clock", {"build_seconds": 1e6})

    job = job_of(admin.new_vm(system))
    advance_as_if_due(2)
    admin.post(f"/api/v1/jobs/{job.pk}/cancel/", {})
    advance_as_if_due(6)
    job.refresh_from_db()
    assert job.status == "undoing"

    cloud.call("POST", "clock", {"advance_seconds": 61})
    work_with_losses()
    job.refresh_from_db()

    assert job.status == "cancelled"
    assert [one["status"] for one in cloud.call("GET", "objects")["servers"]] in ([], ["DELETED"])
