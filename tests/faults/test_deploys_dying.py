"""Deployments whose worker dies, or that are cancelled, at every place where either can happen."""

from __future__ import annotations

import os

import pytest

from deploys.executors import Code, Outcome
from deploys.executors.command import CommandExecutor
from deploys.models import Deployment, DeploymentItem, MicroServiceInstance
from tasks import engine
from tasks.models import EntityLock, Job
from tests.deploys.deploying import Company
from tests.stories import select_evenly

from .killable_worker import Killed, delete_jobs, killable_worker

pytestmark = pytest.mark.django_db(transaction=True)

HOSTS = 3
# Every so manieth place is tried, to save time: EVERY_PLACE=1 tries all.
SHARE = 1 if os.environ.get("EVERY_PLACE") else 3


class Scene:
    """A deployment to three hosts in two batches with a pause; one host of the first batch fails, which is allowed."""

    def __init__(self, folder, monkeypatch):
        self.company = Company(folder, labels=("1.0", "2.0"), hosts=HOSTS)
        self.folder = folder
        self.dies_while = ""
        monkeypatch.setattr(CommandExecutor, "deploy", self.put)

    def put(self, order, _on_line, **_more):
        """Deploy as the program does, without a process. The worker may die after the effect."""
        host, label = order.target.name, order.release.label
        if f"{host} {label}" == self.sick:
            outcome = Outcome(Code.UNHEALTHY, "2.0 does not start", "1.0")
        else:
            (self.folder / f"runs-{host}").write_text(f"{label}\n")
            outcome = Outcome(Code.OK, "", label)
        if self.dies_while == host:
            self.dies_while = ""
            raise Killed
        return outcome

    def begin(self):
        """Restore the initial state, and request the deployment."""
        delete_jobs()
        Deployment.objects.all().delete()
        for host in self.company.hosts:
            (self.folder / f"runs-{host.hostname}").write_text("1.0\n")
        MicroServiceInstance.objects.update(version=self.company.versions["1.0"], status="stopped")
        self.plan = self.company.deploy("1.0", "2.0", batch=2, pause=900, max_failures=1)
        self.order = [instance.host.hostname for batch in self.plan.batches for instance in batch]
        self.sick = f"{self.order[1]} 2.0"

    def items(self):
        return list(DeploymentItem.objects.filter(deployment=self.plan.deployment).order_by("batch", "pk"))

    def assert_over(self):
        """Check that every job has ended, no lock is left, and the rows have the versions that run."""
        self.company.assert_nothing_is_held()
        assert not EntityLock.objects.exists()
        assert Deployment.objects.get().ended_at is not None
        assert self.company.running() == self.company.recorded()
        for item in self.items():
            assert item.result not in {"waiting", "running"}
            assert item.ended_at is not None
            instance = MicroServiceInstance.objects.select_related("version").get(pk=item.instance_id)
            ran = "2.0" if item.result == "succeeded" else "1.0"
            status = "stopped" if item.result == "skipped" else "running"
            assert (instance.version.label, instance.status) == (ran, status), item.host_name

    def assert_as_without_a_death(self):
        """Check that the deployment has the same end as without a death."""
        self.assert_over()
        assert [item.result for item in self.items()] == ["succeeded", "reverted", "succeeded"]
        job = Job.objects.get(pk=self.plan.job.pk)
        assert (job.status, job.outcome_code) == ("failed", "unhealthy")
        assert "2.0 does not start" in job.outcome_message


@pytest.fixture
def scene(tmp_path, monkeypatch, settings):
    settings.DEPLOY_PROGRAMS = {"files": ["/bin/true"]}
    return Scene(tmp_path, monkeypatch)


@pytest.fixture
def places(scene):
    """Return how often the deployment passes each crash point, by kind and step."""
    with killable_worker() as one:
        scene.begin()
        one.passed.clear()
        one.settle()
    scene.assert_as_without_a_death()
    kinds = {kind for _point, kind, _step in one.passed}
    assert kinds == {"deploys.service", "deploys.batch", "deploys.instance"}
    return one.passed


def sample_places(places, first):
    """Return some of the places, in an order that is always the same."""
    return sorted(places)[first % SHARE :: SHARE]


def test_a_deployment_whose_worker_dies_anywhere_ends_like_one_that_did_not(scene, places):
    for place, times in sample_places(places.items(), 0):
        with killable_worker() as one:
            scene.begin()
            one.die_at(place, times - 1)
            one.settle()
        assert one.deaths == 1, place
        try:
            scene.assert_as_without_a_death()
        except AssertionError as error:
            raise AssertionError(f"killed at the last {place}") from error


@pytest.mark.parametrize("number", select_evenly(range(HOSTS), 1))
def test_a_worker_that_dies_with_the_version_on_the_host_is_followed_by_one_that_finds_it(
    scene, places, number
):
    with killable_worker() as one:
        scene.begin()
        scene.dies_while = scene.order[number]
        one.settle()

    assert one.deaths == 1
    scene.assert_as_without_a_death()


def cancel_at(place, job):
    """Return a function that cancels the job whenever a place is passed; only the first call has an effect."""
    return lambda *found: found == place and engine.cancel(job)


@pytest.mark.story
def test_a_cancel_at_any_place_leaves_nothing_held_and_nothing_half_told(scene, places):
    results = set()
    for place in sample_places(places, 1):
        with killable_worker() as one:
            scene.begin()
            one.on_point = cancel_at(place, scene.plan.job)
            one.settle()
        try:
            scene.assert_over()
        except AssertionError as error:
            raise AssertionError(f"cancelled at {place}") from error
        results.add(tuple(item.result for item in scene.items()))

    # From nothing begun to everything done.
    assert {("skipped",) * 3, ("succeeded", "reverted", "skipped")} <= results
    assert ("succeeded", "reverted", "succeeded") in results
