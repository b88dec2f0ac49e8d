"""Many clicks on one VM at the same moment, through a real web server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tasks.models import EntityLock, Job, JobStatus
from tests.stories import ALL
from vms.models import VMOperationLog, VMStatus

from .test_worker_killed import sweep_until_all_end

pytestmark = pytest.mark.django_db(transaction=True)

CLICKS = 200 if ALL else 50


def click_at_once(portal, vm, authorization, count):
    """Send this many POSTs at once, each on its own connection, and return the answers."""
    together = threading.Barrier(count)

    def click(_number):
        together.wait(30)
        return requests.post(
            f"{portal.url}/api/v1/vms/{vm.pk}/actions/",
            json={"action": "start"},
            headers=authorization,
            timeout=60,
        )

    with ThreadPoolExecutor(count) as people:
        return list(people.map(click, range(count)))


@pytest.mark.story
def test_many_clicks_on_one_vm_are_one_job_and_one_start(cloud, vms_of, web, authorization, celery_worker):
    (vm,) = vms_of(1, status="SHUTOFF")
    portal = web(workers=2, threads=8)

    answers = click_at_once(portal, vm, authorization, CLICKS)

    job = Job.objects.get()
    assert [answer.status_code for answer in answers] == [202] * CLICKS
    bodies = [answer.json() for answer in answers]
    assert {body["job"]["id"] for body in bodies} == {str(job.pk)}
    assert {answer.headers["Location"] for answer in answers} == {f"/api/v1/jobs/{job.pk}/"}
    assert [body["changed"] for body in bodies].count(True) == 1
    celery_worker(concurrency=2)
    sweep_until_all_end()
    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert cloud.actions(vm.openstack_id) == {"os-start": {"accepted": 1, "refused": 0}}
    assert VMOperationLog.objects.filter(vm_id=vm.pk, success=True).count() == 1
    assert not EntityLock.objects.exists()
    vm.refresh_from_db()
    assert vm.status == VMStatus.RUNNING


@pytest.mark.story
def test_clicks_while_a_worker_runs_start_the_vm_once(cloud, vms_of, web, authorization, celery_worker):
    """Clicks after the end of the job find the VM running, and change nothing."""
    (vm,) = vms_of(1, status="SHUTOFF")
    portal = web(workers=2, threads=8)
    celery_worker(concurrency=2)

    answers = click_at_once(portal, vm, authorization, CLICKS)
    sweep_until_all_end()

    assert {answer.status_code for answer in answers} <= {200, 202}
    assert [answer.json()["changed"] for answer in answers].count(True) == 1
    assert Job.objects.get().status == JobStatus.SUCCEEDED
    assert cloud.actions(vm.openstack_id) == {"os-start": {"accepted": 1, "refused": 0}}


@pytest.mark.story
def test_without_the_locks_the_same_clicks_are_many_jobs(vms_of, web, authorization):
    """The first test would fail without locks."""
    (vm,) = vms_of(1, status="SHUTOFF")
    portal = web(module="tests.faults.portal_without_locks", workers=2, threads=8)

    answers = click_at_once(portal, vm, authorization, 16)

    assert {answer.status_code for answer in answers} == {202}
    assert Job.objects.count() > 1
