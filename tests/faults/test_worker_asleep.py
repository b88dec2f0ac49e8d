"""A worker that was frozen for longer than its lease does not repeat what another worker has done meanwhile."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tasks import engine
from tasks.models import Job, JobStatus, Step
from tests.working import wait_for
from vms.services import control_vm

from .test_worker_killed import LEASE_SECONDS, sweep_until_all_end

pytestmark = pytest.mark.django_db(transaction=True)

LOOK = {"method": "GET", "path": "/os-instance-actions$"}


def owner_of(job):
    owner = Job.objects.get(pk=job.pk).owner
    return int(owner.split(":")[1]) if owner else None


@pytest.mark.story
def test_a_worker_that_fell_asleep_before_asking_does_not_ask_when_it_wakes(
    cloud, scope, vms_of, celery_worker
):
    """The worker reads the server to decide whether to send its request again, is frozen, and resumes with an old state."""
    (vm,) = vms_of(1)
    lease = {"JOB_LEASE_SECONDS": str(LEASE_SECONDS)}
    celery_worker(environment=lease)
    cloud.faults({"kind": "status", "status": 503, "method": "POST", "path": "/action$", "times": 1})
    job = control_vm(scope=scope, vm_id=vm.pk, action="restart").job
    asked = Step.objects.filter(job=job, name="send_request", status="waiting")
    wait_for("the first try came to nothing", asked.exists)
    # From here on, the first look is the one that it does before it asks again.
    cloud.faults({"kind": "delay", "seconds": 0.5, "times": 1, **LOOK})

    def is_looking():
        engine.sweep()
        rules = cloud.call("GET", "faults")["faults"]
        return any(rule["kind"] == "delay" and rule["struck"] for rule in rules) and owner_of(job)

    sleeper = wait_for("it looks", is_looking)
    os.kill(sleeper, signal.SIGSTOP)
    try:
        celery_worker(environment=lease)
        sweep_until_all_end()
        assert Job.objects.get(pk=job.pk).status == JobStatus.SUCCEEDED
        assert cloud.accepted(vm.openstack_id, "reboot") == 1
    finally:
        os.kill(sleeper, signal.SIGCONT)
    # It has to wake, go on, and come to its end: there is nothing that tells, so it gets plenty of time.
    time.sleep(1.5)

    assert cloud.accepted(vm.openstack_id, "reboot") == 1
