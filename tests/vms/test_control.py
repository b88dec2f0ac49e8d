"""Start, stop, restart: from the click to what the cloud then says, whatever goes wrong between."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.http import Http404
from django.utils import timezone
from rest_framework.test import APIClient

from portal.api.errors import Refused
from portal.api.scoping import Role, Scope
from tasks import crash_points, engine
from tasks.models import EntityLock, Job, JobStatus, Step
from tests.factories import MembershipFactory, VirtualMachineFactory
from tests.working import look, work
from vms.commands.power import RestartVm
from vms.commands.server import ServerCommand
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from vms.services import control_vm

pytestmark = pytest.mark.django_db(transaction=True)


def control(scope, vm, action, **options):
    return control_vm(scope=scope, vm_id=vm.pk, action=action, **options)


def fresh(vm):
    return VirtualMachine.objects.get(pk=vm.pk)


@pytest.mark.parametrize(
    ("action", "before", "after", "nova", "time"),
    [
        ("start", "SHUTOFF", VMStatus.RUNNING, "os-start", "last_start_time"),
        ("stop", "ACTIVE", VMStatus.STOPPED, "os-stop", "last_stop_time"),
        ("restart", "ACTIVE", VMStatus.RUNNING, "reboot", "last_start_time"),
    ],
)
def test_an_action_ends_when_the_cloud_agrees(cloud, scope, vms_of, action, before, after, nova, time):
    (vm,) = vms_of(1, status=before)
    cloud.clock(action_seconds=0.3)

    asked = control(scope, vm, action)
    assert (asked.changed, asked.job.status) == (True, JobStatus.QUEUED)
    work()

    vm = fresh(vm)
    job = Job.objects.get()
    assert (job.status, job.created_by_id, job.tenant_id) == (
        JobStatus.SUCCEEDED,
        scope.user.pk,
        scope.tenant.pk,
    )
    assert vm.status == after
    assert getattr(vm, time) is not None
    assert vm.wanted == ("stopped" if action == "stop" else "running")
    assert cloud.accepted(vm.openstack_id, nova) == 1
    entry = VMOperationLog.objects.get()
    assert (entry.operation, entry.success, entry.operator, entry.job_id, entry.vm_name) == (
        action, True, scope.user.username, job.pk, vm.name,
    )  # fmt: skip
    assert not EntityLock.objects.exists()


def test_a_hard_restart_is_asked_for_as_such(cloud, scope, vms_of):
    (vm,) = vms_of(1)
    control(scope, vm, "restart", hard=True)
    work()

    asked = [entry for entry in cloud.call("GET", "requests")["requests"] if entry["action"] == "reboot"]
    assert len(asked) == 1
    assert fresh(vm).status == VMStatus.RUNNING


# --- Refusals ----------------------------------------------------------------------------------------------


def test_what_is_so_already_changes_nothing(cloud, scope, vms_of):
    (vm,) = vms_of(1)

    asked = control(scope, vm, "start")

    assert (asked.changed, asked.job) == (False, None)
    assert not Job.objects.exists()


def test_another_tenants_vm_is_not_there(scope):
    with pytest.raises(Http404):
        control(scope, VirtualMachineFactory(), "start")


@pytest.mark.parametrize(
    ("columns", "action", "options", "status", "code"),
    [
        ({}, "explode", {}, 400, "unknown_action"),
        ({}, "start", {"hard": True}, 400, "hard_not_known"),
        ({"openstack_id": None}, "start", {}, 409, "not_bound"),
        ({"status": VMStatus.ERROR}, "start", {}, 409, "wrong_state"),
        ({"status": VMStatus.PAUSED}, "stop", {}, 409, "wrong_state"),
        ({"status": VMStatus.STOPPED}, "restart", {}, 409, "wrong_state"),
        ({"status": VMStatus.BUILDING}, "stop", {}, 409, "wrong_state"),
    ],
)
def test_refusals_say_what_is_wrong(scope, columns, action, options, status, code):
    vm = VirtualMachineFactory(information_system__tenant=scope.tenant, **columns)

    with pytest.raises(Refused) as refused:
        control(scope, vm, action, **options)

    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert not Job.objects.exists()
    assert not EntityLock.objects.exists()


def test_a_wrong_state_names_what_is_allowed(scope):
    vm = VirtualMachineFactory(information_system__tenant=scope.tenant, status=VMStatus.STOPPED)

    with pytest.raises(Refused) as refused:
        control(scope, vm, "restart")

    assert refused.value.extra == {"allowed": ["start", "shelve"]}


def test_the_same_action_joins_and_another_is_busy(scope, vms_of):
    (vm,) = vms_of(1)
    first = control(scope, vm, "stop")

    again = control(scope, vm, "stop")
    with pytest.raises(engine.Busy) as busy:
        control(scope, vm, "restart")

    assert (again.changed, again.job.pk) == (False, first.job.pk)
    assert busy.value.extra["job"]["id"] == str(first.job.pk)


def test_a_viewer_may_not(scope, vms_of):
    (vm,) = vms_of(1)
    with pytest.raises(Refused) as refused:
        control(Scope(scope.user, scope.tenant, Role.VIEWER), vm, "stop")

    assert (refused.value.status_code, refused.value.code) == (403, "role_too_low")


def test_a_dry_run_refuses_alike_and_does_nothing(scope, vms_of):
    (vm,) = vms_of(1)

    assert control(scope, vm, "stop", dry_run=True).changed is True
    with pytest.raises(Refused):
        control(
            scope, VirtualMachineFactory(information_system__tenant=scope.tenant), "restart", dry_run=True
        )
    assert not Job.objects.exists()


# --- Once, whatever dies -----------------------------------------------------------------------------------


class Killed(BaseException):
    """As if by kill -9."""


@pytest.mark.parametrize("point", ["claimed", "called", "recorded"])
@pytest.mark.parametrize(
    ("action", "before", "nova"),
    [("start", "SHUTOFF", "os-start"), ("stop", "ACTIVE", "os-stop"), ("restart", "ACTIVE", "reboot")],
)
def test_a_worker_that_dies_anywhere_leaves_one_action(
    cloud, scope, vms_of, monkeypatch, point, action, before, nova
):
    """Die at every pass of a point in turn: each time the job ends, and the cloud has counted one action."""
    vms = vms_of(4, status=before)
    cloud.clock(action_seconds=0.05)
    for passes, vm in enumerate(vms):
        left = [passes]

        def die(name, left=left):
            if name == point:
                left[0] -= 1
                if left[0] == -1:
                    raise Killed

        monkeypatch.setattr(crash_points, "crash_point", die)
        control(scope, vm, action)
        for _ in range(8):
            try:
                work()
            except Killed:
                Job.objects.exclude(owner="").update(lease_until=timezone.now())
        assert cloud.accepted(vm.openstack_id, nova) == 1
        assert VMOperationLog.objects.filter(vm_id=vm.pk, success=True).count() == 1
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}
    assert not EntityLock.objects.exists()


@pytest.mark.parametrize(
    ("action", "before", "nova"),
    [("start", "SHUTOFF", "os-start"), ("stop", "ACTIVE", "os-stop"), ("restart", "ACTIVE", "reboot")],
)
def test_an_answer_that_is_lost_is_not_asked_for_twice(cloud, scope, vms_of, action, before, nova):
    (vm,) = vms_of(1, status=before)
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/action",
            "rate": 1,
            "kind": "lose_answer",
            "times": 1,
        }
    )

    control(scope, vm, action)
    work()

    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert cloud.accepted(vm.openstack_id, nova) == 1


def test_a_restart_that_did_not_look_first_would_restart_twice(cloud, scope, vms_of, monkeypatch):
    """The danger is real: without the look at Nova's record, a lost answer costs a second reboot."""
    (vm,) = vms_of(1)
    monkeypatch.setattr(RestartVm, "was_done_before", lambda self, compute: False)
    cloud.faults(
        {
            "service": "compute",
            "method": "POST",
            "path": "/action",
            "rate": 1,
            "kind": "lose_answer",
            "times": 1,
        }
    )

    control(scope, vm, "restart")
    work()

    assert cloud.accepted(vm.openstack_id, "reboot") == 2


# --- The cloud says no, or nothing, or nonsense ------------------------------------------------------------


def test_what_the_cloud_has_done_already_is_success(cloud, scope, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="SHUTOFF")  # somebody was quicker, in another tool

    control(scope, vm, "stop")
    work()

    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert fresh(vm).status == VMStatus.STOPPED


def test_the_clouds_no_fails_the_job_with_its_words(cloud, scope, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="PAUSED")

    control(scope, vm, "stop")
    work()

    job = Job.objects.get()
    assert (job.status, job.outcome_code) == (JobStatus.FAILED, "wrong_state")
    assert "paused" in job.outcome_message
    entry = VMOperationLog.objects.get()
    assert (entry.success, entry.operation) == (False, "stop")
    assert not EntityLock.objects.exists()


def test_a_server_that_fails_on_the_way_fails_the_job_with_novas_fault(cloud, scope, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")
    cloud.clock(action_seconds=60)
    control(scope, vm, "start")
    engine.advance(Job.objects.get().pk)
    engine.advance(Job.objects.get().pk)
    cloud.change(vm.openstack_id, status="ERROR", fault="Disk is full")
    work()

    job = Job.objects.get()
    assert (job.status, job.outcome_code) == (JobStatus.FAILED, "refused_by_cloud")
    assert "Disk is full" in job.outcome_message
    assert (fresh(vm).status, fresh(vm).fault) == (VMStatus.ERROR, "Disk is full")


def test_a_server_that_is_gone_fails_the_job(cloud, scope, vms_of):
    (vm,) = vms_of(1)
    cloud.remove(vm.openstack_id)

    control(scope, vm, "stop")
    work()

    assert Job.objects.get().outcome_code == "not_found"


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 429},
        {"kind": "reset"},
        {"kind": "garbage"},
    ],
)
def test_a_cloud_that_is_away_is_waited_for_and_the_step_says_so(cloud, scope, vms_of, fault):
    (vm,) = vms_of(1)
    cloud.faults({"service": "compute", "path": ".*", "rate": 1, **fault})

    control(scope, vm, "stop")
    engine.advance(Job.objects.get().pk)

    assert Job.objects.get().status == JobStatus.WAITING
    assert Step.objects.get(name="ask_the_cloud").message
    cloud.no_faults()
    Job.objects.update(not_before=timezone.now())
    work()
    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert cloud.accepted(vm.openstack_id, "os-stop") == 1


def test_a_wrong_password_fails_the_job_without_showing_it(cloud, scope, account, vms_of):
    (vm,) = vms_of(1)
    account.set_secret("not the password")
    account.save()

    control(scope, vm, "stop")
    work()

    job = Job.objects.get()
    assert (job.status, job.outcome_code) == (JobStatus.FAILED, "authentication_failed")
    assert "not the password" not in job.outcome_message


def test_a_cancelled_start_is_stopped_again(cloud, scope, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")
    cloud.clock(action_seconds=0.2)
    control(scope, vm, "start")
    engine.advance(Job.objects.get().pk)

    engine.cancel(Job.objects.get())
    work()

    assert Job.objects.get().status == JobStatus.CANCELLED
    (server,) = cloud.call("GET", "objects")["servers"]
    assert server["status"] == "SHUTOFF"
    assert cloud.accepted(vm.openstack_id, "os-stop") == 1


def test_many_waiting_jobs_cost_one_listing(cloud, scope, vms_of):
    vms = vms_of(40, status="SHUTOFF")
    cloud.clock(action_seconds=30)
    for vm in vms:
        control(scope, vm, "start")
    for job in Job.objects.all():
        engine.advance(job.pk)
    cloud.call("DELETE", "requests")
    from tasks.models import AsyncTask

    AsyncTask.objects.update(next_look_at=timezone.now())
    look()

    assert cloud.counts()["total"] <= 2


# --- At once -----------------------------------------------------------------------------------------------


def simultaneously(count, ask):
    start, answers = threading.Barrier(count), []

    def one():
        try:
            start.wait()
            answers.append(ask())
        except Exception as error:  # noqa: BLE001
            answers.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return answers


def test_many_at_once_are_one_job_and_one_action(cloud, scope, vms_of):
    (vm,) = vms_of(1, status="SHUTOFF")

    answers = simultaneously(40, lambda: control(scope, vm, "start"))
    work()

    assert [answer.changed for answer in answers].count(True) == 1
    assert len({answer.job.pk for answer in answers}) == 1
    assert cloud.accepted(vm.openstack_id, "os-start") == 1


def test_without_the_locks_many_at_once_go_wrong(cloud, scope, vms_of, monkeypatch):
    """The race is real: with the VM's row and its lock left open, one click becomes several jobs."""
    (vm,) = vms_of(1, status="SHUTOFF")
    monkeypatch.setattr(ServerCommand, "locks", lambda self: [])
    monkeypatch.setattr("vms.models.VirtualMachineQuerySet.select_for_update", lambda self, **options: self)

    simultaneously(8, lambda: control(scope, vm, "start"))

    assert Job.objects.count() > 1


# --- Over REST ---------------------------------------------------------------------------------------------


@pytest.fixture
def client(member):
    client = APIClient()
    client.force_authenticate(member.user)
    return client


def test_the_answer_has_the_job_where_to_follow_it_and_the_vm(client, vms_of):
    (vm,) = vms_of(1)

    answer = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json")

    body = answer.json()
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/jobs/{body['job']['id']}/"
    assert body["vm"]["current_job"]["id"] == body["job"]["id"]
    assert body["vm"]["allowed_actions"] == []
    assert [step["name"] for step in body["job"]["steps"]] == ["ask_the_cloud", "see_it_done"]
    assert client.get(answer["Location"]).json()["status"] == "queued"


def test_who_would_rather_wait_gets_the_finished_job(client, vms_of):
    (vm,) = vms_of(1)

    def soon():
        try:
            work()
        finally:
            connection.close()

    worker = threading.Timer(0.3, soon)
    worker.start()
    answer = client.post(
        f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json", headers={"Prefer": "wait=15"}
    )
    worker.join()

    assert answer.status_code == 200
    assert answer["Preference-Applied"] == "wait=15"
    assert answer.json()["job"]["status"] == "succeeded"
    assert answer.json()["vm"]["status"] == "stopped"


def test_a_key_that_is_sent_twice_acts_once(cloud, client, vms_of):
    (vm,) = vms_of(1)
    send = lambda body: client.post(  # noqa: E731
        f"/api/v1/vms/{vm.pk}/actions/", body, format="json", headers={"Idempotency-Key": "k1"}
    )

    first = send({"action": "stop"})
    work()
    again, other = send({"action": "stop"}), send({"action": "start"})

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.json() == first.json()
    assert again["Location"] == first["Location"]
    assert cloud.accepted(vm.openstack_id, "os-stop") == 1


def test_busy_names_the_job_that_holds_it(client, vms_of):
    (vm,) = vms_of(1)
    first = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json").json()["job"]

    answer = client.post(f"/api/v1/vms/{vm.pk}/actions/", {"action": "restart"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "busy")
    assert answer.json()["job"]["id"] == first["id"]


def test_a_member_of_two_tenants_names_one(vms_of, member):
    (vm,) = vms_of(1)
    other = MembershipFactory(user=member.user)
    client = APIClient()
    client.force_authenticate(member.user)
    url = f"/api/v1/vms/{vm.pk}/"

    assert client.get(url).json()["code"] == "tenant_required"
    assert client.get(url, headers={"X-Tenant": member.tenant.slug}).status_code == 200
    assert client.get(url, headers={"X-Tenant": other.tenant.slug}).status_code == 404
    assert client.get(url, headers={"X-Tenant": "nowhere"}).status_code == 404
