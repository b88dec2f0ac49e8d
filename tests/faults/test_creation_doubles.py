"""Requests that arrive late or whose answer is lost: at the end there is one server, volume or image, or none."""

from __future__ import annotations

import pytest

from tasks import engine
from tasks.models import JobStatus
from tests.stories import select_evenly
from vms.models import VMSnapshot
from vms.services import take_snapshot

from .creation.invariants import objects_in
from .creation.stage import Stage
from .killable_worker import killable_worker

pytestmark = pytest.mark.django_db(transaction=True)

SERVERS = {"method": "POST", "path": "/servers$"}
VOLUMES = {"method": "POST", "path": "/volumes$"}
FIND_SERVERS = {"method": "GET", "path": "/servers/detail$"}
FIND_VOLUMES = {"method": "GET", "path": "/volumes/detail$"}


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


@pytest.mark.parametrize(
    ("asked", "looked_for", "boot_volume"),
    [(SERVERS, FIND_SERVERS, False), (VOLUMES, FIND_VOLUMES, True), (SERVERS, FIND_SERVERS, True)],
    ids=["server", "volume", "server of a volume"],
)
@pytest.mark.parametrize("look", select_evenly(["status", "reset", "garbage"], 1))
def test_while_nobody_can_tell_whether_it_was_made_nothing_is_made(
    stage, worker, asked, looked_for, boot_volume, look
):
    stage.cloud.faults({"kind": "lose_answer", **asked, "times": 1}, {"kind": look, **looked_for})
    job = stage.request_vm(boot_volume=boot_volume)

    worker.run_rounds(10)

    posts = [one for one in stage.cloud.call("GET", "requests")["requests"] if one["method"] == "POST"]
    assert sum(one["path"].endswith(asked["path"].removesuffix("$")) for one in posts) == 1
    stage.cloud.no_faults()
    worker.settle()
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert stage.find_violations() == {}


class LateRequest:
    """The first POST to a path, which is held back and carried out when `arrive` is called, as a proxy may do."""

    def __init__(self, simulator, path, monkeypatch):
        self.held, self.path, self.application = [], path, simulator._application
        self.work = type(self.application)._execute
        me = self

        def work(application, request, region, service, path, **options):
            if request.method == "POST" and request.path.endswith(me.path) and not me.held:
                me.held.append((request, region, service, path, options))
                from simulator.http_server import DroppedConnectionError

                raise DroppedConnectionError(reset=False)
            return me.work(application, request, region, service, path, **options)

        monkeypatch.setattr(type(self.application), "_execute", work)

    def arrive(self):
        request, region, service, path, options = self.held[0]
        return self.work(self.application, request, region, service, path, **options)


def call_once_at(worker, place, action):
    """Call an action once, when the worker passes a place."""
    done = []

    def look(*at):
        if at == place and not done:
            done.append(True)
            action()

    worker.on_point = look


@pytest.mark.parametrize("path", ["/servers", "/volumes"])
def test_what_comes_after_the_look_is_removed_again(stage, worker, simulator, monkeypatch, path):
    """The first request arrives after the second try has searched, found nothing, and sent its own request."""
    late = LateRequest(simulator, path, monkeypatch)
    kind = "vms.create" if path == "/servers" else "volumepool.create_volume"
    seen = "wait_until_running" if path == "/servers" else "wait_until_available"
    call_once_at(worker, ("called", kind, seen), late.arrive)
    job = stage.request_vm(boot_volume=path == "/volumes")

    worker.settle()

    assert late.held
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert stage.find_violations() == {}


@pytest.mark.parametrize("path", ["/servers", "/volumes"])
def test_it_is_removed_also_when_the_worker_died_after_it_had_asked_again(
    stage, worker, simulator, monkeypatch, path
):
    """The worker of the second try dies: the third finds one or two objects, and must not take one for the only one."""
    late = LateRequest(simulator, path, monkeypatch)
    kind = "vms.create" if path == "/servers" else "volumepool.create_volume"
    seen = "wait_until_running" if path == "/servers" else "wait_until_available"
    call_once_at(worker, ("called", kind, seen), late.arrive)
    job = stage.request_vm(boot_volume=path == "/volumes")
    worker.die_at(("called", kind, "request_server" if path == "/servers" else "request_creation"), 1)

    worker.settle()

    assert worker.deaths == 1
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED, job.traceback
    assert stage.find_violations() == {}


def test_an_image_that_comes_late_is_removed_again(stage, worker, simulator, monkeypatch):
    vm = stage.create_vm(worker)
    late = LateRequest(simulator, "/action", monkeypatch)
    # While the second image is being made, Nova refuses the first: it can only come when the server is free again.
    call_once_at(worker, ("called", "vms.snapshot", "see_the_server_free"), late.arrive)
    take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before")

    worker.settle()

    assert late.held
    assert VMSnapshot.objects.get().status == "active"
    assert len(objects_in(stage.cloud)["images"]) - len(stage.before["images"]) == 1
    assert stage.find_violations() == {}


def test_volume_snapshots_are_removed_although_a_worker_dies_right_after_their_image_went(stage, worker):
    """Only the image names its volume snapshots, and the image is gone."""
    vm = stage.create_vm(worker, boot_volume=True)
    job = take_snapshot(scope=stage.scope, vm_id=vm.pk, name="before").job
    call_once_at(worker, ("called", "vms.snapshot", "wait_until_image_active"), lambda: engine.cancel(job))
    worker.die_at(("called", "vms.snapshot", "undo request_image"))

    worker.settle()

    assert worker.deaths == 1
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert stage.find_violations() == {}
