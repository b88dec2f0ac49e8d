"""A creation that is stuck or errored: whatever staff decide, no object in the cloud is forgotten."""

from __future__ import annotations

import pytest

from api.domain_errors import DomainError
from api.errors import status_of
from openstack_client.compute import Compute
from tasks.models import Job, JobStatus
from tasks.services import decide_job
from tenants.scoping import Role, Scope
from tests.factories import UserFactory
from vms.models import Orphan
from vms.services import attach_volume, take_snapshot
from vms.sync import orphans

from .creation.stage import Stage
from .killable_worker import Killed, killable_worker

pytestmark = pytest.mark.django_db(transaction=True)

WAYS = pytest.mark.parametrize("boot_volume", [False, True], ids=["image", "volume"])


@pytest.fixture
def stage(cloud, account):
    stage = Stage.of(cloud, account)
    stage.clear()
    return stage


@pytest.fixture
def worker():
    """The worker that advances every job of the test."""
    with killable_worker() as worker:
        yield worker


@pytest.fixture
def decide():
    """A function that decides about a job as staff do."""
    staff = Scope(UserFactory(is_staff=True, is_superuser=True), None, Role.ADMIN)
    return lambda job, decision, **options: decide_job(
        scope=staff, job_id=job.pk, decision=decision, reason="So be it.", **options
    )


@pytest.fixture
def stuck(stage, worker, settings):
    """A function that requests a creation whose worker dies each time the cloud has created the server."""
    settings.JOB_ATTEMPT_CAP = 2

    def die(*place):
        if place == ("called", "vms.create", "request_server"):
            raise Killed

    def make(*, boot_volume):
        job = stage.request_vm(boot_volume=boot_volume)
        worker.on_point = die
        worker.settle()
        worker.on_point = None
        job.refresh_from_db()
        assert job.status == JobStatus.STUCK
        assert len(stage.list_new_servers()) == 1
        return job

    return make


@WAYS
def test_one_that_is_let_go_on_becomes_a_vm(stage, worker, decide, stuck, boot_volume):
    job = stuck(boot_volume=boot_volume)

    decide(job, "resume")
    worker.settle()

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert len(stage.list_new_servers()) == 1
    assert stage.find_violations() == {}


@WAYS
def test_of_one_that_is_taken_back_nothing_is_left(stage, worker, decide, stuck, boot_volume):
    job = stuck(boot_volume=boot_volume)

    decide(job, "end", undo=True)
    worker.settle()

    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert stage.find_violations() == {}


def test_what_one_leaves_that_is_ended_as_it_is_is_found_by_the_sweep(
    stage, worker, decide, stuck, monkeypatch
):
    job = stuck(boot_volume=False)
    monkeypatch.setattr(orphans, "LONGEST_CREATION", orphans.timedelta(hours=-1))

    decide(job, "end")
    worker.settle()
    for _ in range(2):
        orphans.sweep_region(stage.account.pk, "RegionOne")

    (server,) = stage.list_new_servers()
    assert Orphan.objects.exclude(reported_at=None).get().cloud_id == server["id"]


def raise_error(self, *args, **options):
    raise RuntimeError("An error of the portal.")


def retry_errored_job(stage, worker, decide, job):
    """Settle, retry the errored job as staff, and return the status of the retry, or of the answer if it is refused."""
    worker.settle()
    job.refresh_from_db()
    assert job.status == JobStatus.ERRORED
    try:
        decide(job, "retry")
    except DomainError as refusal:
        return status_of(refusal)
    worker.settle()
    return Job.objects.get(retry_of=job).status


def test_a_creation_that_met_an_error_of_ours_can_be_tried_again_or_it_is_said_why_not(
    stage, worker, decide, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(Compute, "create_server", raise_error)
        job = stage.request_vm()
        worker.settle()

    assert retry_errored_job(stage, worker, decide, job) in {"succeeded", 409}


@pytest.mark.parametrize(
    ("call", "ask"),
    [
        ("attach_volume", lambda stage, vm: attach_volume(scope=stage.scope, vm_id=vm.pk, size_gb=1)),
        ("create_image", lambda stage, vm: take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before")),
    ],
    ids=["attach", "snapshot"],
)
def test_so_can_what_is_made_of_a_vm(stage, worker, decide, monkeypatch, call, ask):
    vm = stage.create_vm(worker)
    with monkeypatch.context() as patch:
        patch.setattr(Compute, call, raise_error)
        job = ask(stage, vm).job
        worker.settle()

    assert retry_errored_job(stage, worker, decide, job) in {"succeeded", 409}
