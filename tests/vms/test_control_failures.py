"""Start, stop and restart when the cloud refuses, does not answer, or answers with garbage."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tasks import engine
from tasks.models import EntityLock, Job, JobStatus, Step
from tests.vms.control_requests import control, fresh
from tests.working import poll_scopes, work
from vms.models import VMOperationLog, VMStatus

pytestmark = pytest.mark.django_db(transaction=True)


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
    assert Step.objects.get(name="send_request").message
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
    poll_scopes()

    assert cloud.counts()["total"] <= 2
