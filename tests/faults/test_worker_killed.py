"""Real workers and a real web process are killed, and each click is carried out all the same, and once."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import requests

from devserver import launch
from devserver.launch import ProcessId
from portal.celery import app
from tasks import engine
from tasks.dispatch import dispatch_job
from tasks.models import ENDED, AsyncTask, EntityLock, Job, JobStatus, Step, StepStatus
from tests.conftest import flush_broker
from tests.stories import ALL, select_evenly
from tests.working import wait_for
from vms.models import VMOperationLog, VMStatus
from vms.services import control_vm

pytestmark = pytest.mark.django_db(transaction=True)

LEASE_SECONDS = 2.0
# Beat rings the sweep every five seconds; here a test does, more often, so that it measures the engine.
SWEEP_EVERY_SECONDS = 0.25
# What may pass between a lease's end and the job's: being overdue for the sweep (3 s), a start and a look or two.
LATE_BY_AT_MOST = timedelta(seconds=10)

NOVA = {"start": "os-start", "stop": "os-stop", "restart": "reboot"}
BEFORE = {"start": "SHUTOFF", "stop": "ACTIVE", "restart": "ACTIVE"}
AFTER = {"start": VMStatus.RUNNING, "stop": VMStatus.STOPPED, "restart": VMStatus.RUNNING}


def sweep_until_all_end(seconds=40.0):
    """Sweep, as beat does, until no job is in flight."""
    deadline = time.monotonic() + seconds
    while Job.objects.exclude(status__in=ENDED).exists():
        assert time.monotonic() < deadline, list(
            Job.objects.values_list("kind", "status", "owner", "attempt")
        )
        engine.sweep()
        time.sleep(SWEEP_EVERY_SECONDS)


def click(scope, vm, action):
    return control_vm(scope=scope, vm_id=vm.pk, action=action).job


def dead_owner(job):
    """Return the lease of a job whose owner is a dead process; None if its owner lives or it has none."""
    row = Job.objects.get(pk=job.pk)
    if not row.owner or ProcessId.of(int(row.owner.split(":")[1])):
        return None
    return row.lease_until


def assert_done_once(cloud, vm, action):
    """Check that there are one accepted action and one log entry, no lock, and the status that the cloud has."""
    job = Job.objects.get(entity_id=str(vm.pk))
    assert job.status == JobStatus.SUCCEEDED, (job.outcome_code, job.outcome_message)
    assert cloud.accepted(vm.openstack_id, NOVA[action]) == 1
    entry = VMOperationLog.objects.get(vm_id=vm.pk)
    assert (entry.operation, entry.success, entry.job_id) == (action, True, job.pk)
    vm.refresh_from_db()
    assert vm.status == AFTER[action]
    assert set(Step.objects.filter(job=job).values_list("status", flat=True)) == {StepStatus.SUCCEEDED}
    assert not EntityLock.objects.filter(job=job).exists()
    return job


@pytest.fixture
def one_of_each(vms_of):
    """Create a VM for each action, with a status that allows it."""
    return {action: vms_of(1, status=before)[0] for action, before in BEFORE.items()}


@pytest.fixture
def armed(celery_worker, tmp_path):
    """A function that starts a worker whose process dies at a crash point once, and then creates the returned file."""

    def start(point, *, asleep=False):
        died = tmp_path / "died"
        if asleep:
            died.touch()
        celery_worker(
            environment={"JOB_LEASE_SECONDS": str(LEASE_SECONDS), "PORTAL_CRASH_AT": f"{point}:{died}"}
        )
        return died

    return start


# --- One process dies at a named point ---------------------------------------------------------------------


# Every pass of every point for every action is tried inside one process in tests/vms; here real processes die.
@pytest.mark.parametrize(
    ("point", "action"),
    select_evenly([("claimed", "stop"), ("called", "start"), ("called", "stop"), ("recorded", "restart")], 1),
)
def test_a_worker_killed_while_it_owns_a_job_costs_a_lease_and_no_more(
    cloud, scope, vms_of, armed, point, action
):
    (vm,) = vms_of(1, status=BEFORE[action])
    died = armed(point)
    job = click(scope, vm, action)
    wait_for(f"{action} dies at {point}", died.exists)
    lease = wait_for("its owner is dead", lambda: dead_owner(job))
    flush_broker()  # Celery would deliver the dead process's message again: nothing may depend on that.

    sweep_until_all_end()

    job = assert_done_once(cloud, vm, action)
    assert job.ended_at > lease, "somebody else took the job before its lease had run out"
    assert job.ended_at - lease < LATE_BY_AT_MOST


@pytest.mark.story
def test_a_restart_whose_worker_was_killed_right_after_asking_is_not_asked_for_twice(
    cloud, scope, vms_of, armed
):
    """A reboot does not change the server's status; only Nova's list of actions has it."""
    (vm,) = vms_of(1)
    died = armed("called", asleep=True)
    cloud.faults({"kind": "delay", "seconds": 0.7, "method": "POST", "path": "/action", "times": 1})

    job = click(scope, vm, "restart")
    wait_for(
        "the first step is over",
        lambda: Step.objects.filter(job=job, position=0, status="succeeded").exists(),
    )
    died.unlink()  # The request for the reboot is on its way: its worker dies when the answer has come.
    wait_for("it dies", died.exists)
    assert cloud.accepted(vm.openstack_id, "reboot") == 1
    sweep_until_all_end()

    assert_done_once(cloud, vm, "restart")


@pytest.mark.story
def test_a_worker_killed_after_the_last_write_leaves_nothing_to_do(cloud, scope, vms_of, armed):
    (vm,) = vms_of(1, status="SHUTOFF")
    cloud.clock(action_seconds=1.0)
    died = armed("ended", asleep=True)

    job = click(scope, vm, "start")
    # Looked at once, so that the process is well past the record of having begun to wait.
    wait_for("the cloud is looked at", lambda: AsyncTask.objects.filter(job=job, looks__gt=0).exists())
    died.unlink()
    wait_for("it dies", died.exists)

    ended = assert_done_once(cloud, vm, "start")  # Before anything could recover it.
    engine.sweep()
    dispatch_job(job)
    time.sleep(0.5)
    assert assert_done_once(cloud, vm, "start").ended_at == ended.ended_at


@pytest.mark.story
def test_a_poller_killed_between_looking_and_writing_is_replaced(cloud, scope, one_of_each, armed):
    died = armed("polled")
    jobs = [click(scope, vm, action) for action, vm in one_of_each.items()]

    wait_for("the poller dies", died.exists)
    sweep_until_all_end()

    for action, vm in one_of_each.items():
        assert_done_once(cloud, vm, action)
    assert Job.objects.count() == len(jobs)


@pytest.mark.story
def test_a_web_process_killed_between_commit_and_ring_has_lost_no_click(
    cloud, vms_of, web, authorization, celery_worker, tmp_path
):
    (vm,) = vms_of(1, status="SHUTOFF")
    died = tmp_path / "died"
    portal = web(environment={"PORTAL_CRASH_AT": f"submitted:{died}"})
    ask = {"url": f"{portal.url}/api/v1/vms/{vm.pk}/actions/", "json": {"action": "start"}}

    with pytest.raises(requests.ConnectionError):
        requests.post(**ask, headers=authorization, timeout=30)
    assert died.exists()
    again = requests.post(**ask, headers=authorization, timeout=30)  # The person clicks once more.
    celery_worker(environment={"JOB_LEASE_SECONDS": str(LEASE_SECONDS)})
    sweep_until_all_end()

    assert again.status_code == 202
    assert again.json()["job"]["id"] == str(assert_done_once(cloud, vm, "start").pk)


# --- A whole worker dies -----------------------------------------------------------------------------------


@pytest.mark.story
def test_a_second_worker_takes_up_what_a_killed_one_had_in_hand(cloud, scope, vms_of, celery_worker):
    """The main process and its children are killed while twenty VMs start."""
    vms = vms_of(20, status="SHUTOFF")
    cloud.clock(action_seconds=3)
    # Slow enough that the kill comes while some are asked for, some wait, and some have not begun.
    cloud.faults({"kind": "delay", "seconds": 0.3, "method": "POST", "path": "/action"})
    lease = {"JOB_LEASE_SECONDS": str(LEASE_SECONDS)}
    doomed = celery_worker(concurrency=2, environment=lease)
    everybody = launch.process_tree(doomed.pid)
    for vm in vms:
        click(scope, vm, "start")
    wait_for("some are on their way", lambda: AsyncTask.objects.filter(verdict="open").count() >= 4)

    launch.kill(everybody)
    assert launch.wait_until_gone(everybody, seconds=5)
    begun = Step.objects.filter(job__in=Job.objects.exclude(status__in=ENDED), started_at__isnull=False)
    assert 4 <= begun.values("job").distinct().count() < len(vms)
    celery_worker(concurrency=2, environment=lease)
    sweep_until_all_end()

    for vm in vms:
        assert_done_once(cloud, vm, "start")
    assert not EntityLock.objects.exists()


# --- Messages are lost and doubled -------------------------------------------------------------------------


def queue_lengths():
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        return {name: client.llen(name) for name in ("jobs", "polling")}


@pytest.mark.story
def test_a_flushed_broker_loses_no_job(cloud, scope, vms_of, celery_worker):
    vms = vms_of(10)
    for vm in vms:
        click(scope, vm, "stop")
    assert queue_lengths()["jobs"] == 10

    flush_broker()
    assert queue_lengths()["jobs"] == 0
    celery_worker(concurrency=2)
    time.sleep(0.5)
    assert not Job.objects.exclude(status="queued").exists(), "somebody rang although the broker was flushed"
    sweep_until_all_end()

    for vm in vms:
        assert_done_once(cloud, vm, "stop")


@pytest.mark.story
@pytest.mark.parametrize("action", NOVA if ALL else ["restart"])
def test_a_ring_that_comes_many_times_at_once_is_answered_once(cloud, scope, vms_of, celery_worker, action):
    vms = vms_of(3, status=BEFORE[action])
    cloud.faults({"kind": "delay", "seconds": 0.1, "method": "POST", "path": "/action"})
    for vm in vms:
        job = click(scope, vm, action)
        for _ in range(3):
            dispatch_job(job)
    assert queue_lengths()["jobs"] == 12

    celery_worker(concurrency=4)
    sweep_until_all_end()
    wait_for("every ring was heard", lambda: queue_lengths() == {"jobs": 0, "polling": 0})

    for vm in vms:
        assert_done_once(cloud, vm, action)
