"""VMs are created and removed while the cloud refuses, fails and loses answers, and workers die: done, or nothing is left.

Each story is run undisturbed; then with a fault at each of its requests, once and for a while; with a death at each place
that its worker passes; and with a cancellation there. By default some stories are run with some of the faults;
`make stories` runs all with all, in a quarter of an hour.
"""

from __future__ import annotations

import itertools

import pytest

from tasks.models import Job, JobStatus
from tests.stories import ALL, select_evenly
from vms.models import VirtualMachine, VMOperationLog
from vms.services import remove_vm

from .creation.stage import Stage
from .creation.stories import STORIES, STORIES_BY_NAME, StoryRun
from .killable_worker import killable_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

SAID = "This answer was requested by the control API."
# How many faults or places of a story are tried by default.
MOST = 2
FAULTS = {
    "400": {"kind": "status", "status": 400},
    "403": {"kind": "status", "status": 403},
    "409": {"kind": "status", "status": 409},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "lost": {"kind": "lose_answer"},
    "reset": {"kind": "reset"},
    "garbage": {"kind": "garbage"},
}
# None of these is a refusal: the request is sent again until it is answered.
NO_ANSWER = {"500", "503", "lost", "reset", "garbage"}
# The rounds of the worker during which a temporary fault lasts.
FAULTY_ROUNDS = 6


def stories(*names):
    """Parametrize with these stories, or with all if all are run."""
    chosen = STORIES if ALL else [STORIES_BY_NAME[name] for name in names]
    return pytest.mark.parametrize("story", chosen, ids=lambda story: story.name)


@pytest.fixture
def stage(cloud, account):
    return Stage.of(cloud, account)


@pytest.fixture
def worker():
    """The worker that advances every job of the test."""
    with killable_worker() as worker:
        yield worker


def run_undisturbed(story, stage, worker):
    """Run a story undisturbed, and return its requests and how often its worker passed each place."""
    run = StoryRun(story, stage, worker).prepare()
    run.act()
    worker.work()
    assert run.finish() == []
    assert run.job.status == story.ends, run.outcome
    return stage.list_request_rules(), dict(worker.passed)


# A creation that fails sends the requests of one that succeeds, and those of its undo.
@stories("create with a volume in vain")
@pytest.mark.parametrize("fault", FAULTS if ALL else ["409", "lost"])
def test_whatever_one_request_is_answered_it_is_done_or_nothing_is_left(stage, worker, story, fault):
    requests, _passed = run_undisturbed(story, stage, worker)
    wrong = []
    for rule, times in select_evenly(itertools.product(requests, (1, None)), MOST):
        run = StoryRun(story, stage, worker).prepare()
        stage.cloud.faults({**FAULTS[fault], **rule, "times": times})
        run.act()
        worker.run_rounds(FAULTY_ROUNDS)
        found = run.finish()
        ended = run.job.status
        if fault in NO_ANSWER and ended != story.ends:
            found.append(f"it ended as {run.outcome}")
        refused = ended == JobStatus.FAILED != story.ends
        if refused and SAID not in run.job.outcome_message:
            found.append(f"the reason is missing: {run.outcome}")
        wrong += [f"{rule['method']} {rule['path']} x{times}: {one}" for one in found]
    assert wrong == [], "\n".join(wrong)


@stories("create with a volume", "snapshot of a volume, and cancel")
def test_wherever_its_worker_dies_it_ends_as_it_would_have(stage, worker, story):
    _requests, passed = run_undisturbed(story, stage, worker)
    wrong = []
    # A request dies after "submitted", and no worker: that is `test_worker_killed.py`.
    at_work = {place: times for place, times in passed.items() if place[0] != "submitted"}
    for place, death in select_evenly(
        [(p, n) for p, times in at_work.items() for n in range(min(times, 2))], MOST
    ):
        run = StoryRun(story, stage, worker).prepare()
        worker.die_at(place, death)
        run.act()
        worker.work()
        # Whether and how often a wait is looked at depends on the clock.
        assert worker.deaths == 1 or death > 0 or place[0].startswith("poll"), (
            f"the worker did not die at {place}"
        )
        found = run.finish()
        if run.job.status != story.ends:
            found.append(f"it ended as {run.outcome}")
        wrong += [f"death {death} at {place}: {one}" for one in found]
    assert wrong == [], "\n".join(wrong)


@stories("remove")
def test_whenever_it_is_cancelled_it_is_done_or_nothing_is_left(stage, worker, story):
    if story.cancelled_at is not None:
        pytest.skip("It is cancelled anyway.")
    _requests, passed = run_undisturbed(story, stage, worker)
    wrong = []
    ends = set()
    for place in select_evenly([place for place in passed if place[0] not in {"submitted", "ended"}], MOST):
        run = StoryRun(story, stage, worker).prepare()
        run.act()
        run.cancel_at(place)
        worker.work()
        wrong += [f"cancelled at {place}: {one}" for one in run.finish()]
        ends.add(run.job.status)
    assert wrong == [], "\n".join(wrong)
    # A job that has nothing left to do but to end, ends; every other hears it.
    assert JobStatus.CANCELLED in ends
    assert ends <= {JobStatus.CANCELLED, story.ends}


# --- In the cloud's own words --------------------------------------------------------------------------------


def create_vm_that_fails(stage, worker, **params):
    """Request a VM whose creation fails, and return its job, after checking that nothing is left of it."""
    job = stage.request_vm(**params)
    worker.settle()
    job.refresh_from_db()
    assert stage.find_violations() == {}
    assert VMOperationLog.objects.get(job_id=job.pk).detail == f"{job.outcome_code}: {job.outcome_message}"
    return job


@pytest.mark.parametrize("boot_volume", [False, True], ids=["image", "volume"])
def test_a_server_that_finds_no_host_is_removed_and_the_cloud_says_why(stage, worker, boot_volume):
    stage.clear()
    stage.cloud.call("POST", "failing_builds", {"times": 1})

    job = create_vm_that_fails(stage, worker, boot_volume=boot_volume)

    assert (job.status, job.outcome_code) == ("failed", "refused_by_cloud")
    assert "No valid host was found. There are not enough hosts available." in job.outcome_message
    assert stage.list_new_servers() == []


def test_an_undo_that_the_cloud_forbids_leaves_no_server_without_its_row(stage, worker):
    """Policy may forbid a deletion for a while: the server still exists, so the undo goes on until it is deleted."""
    stage.clear()
    stage.cloud.call("POST", "failing_builds", {"times": 1})
    stage.cloud.faults({"kind": "status", "status": 403, "method": "DELETE", "path": r"/servers/[^/]+$"})
    job = stage.request_vm()
    worker.run_rounds(40)

    job.refresh_from_db()
    assert job.status == "undoing"
    assert len(stage.list_new_servers()) == VirtualMachine.objects.count() == 1

    stage.cloud.no_faults()
    worker.settle()
    job.refresh_from_db()
    assert job.status == "failed"
    assert stage.find_violations() == {}
    assert stage.list_new_servers() == []


@pytest.mark.parametrize(
    ("quota", "boot_volume", "words"),
    [
        (
            {"instances": 0},
            False,
            "Quota exceeded for instances: Requested 1, but already used 0 of 0 instances",
        ),
        ({"cores": 1}, True, "Quota exceeded for cores: Requested 2, but already used 0 of 1 cores"),
        ({"volumes": 0}, True, "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded"),
        (
            {"gigabytes": 10},
            True,
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_the_clouds_own_quota_is_told_with_its_figures(stage, worker, quota, boot_volume, words):
    stage.clear()
    stage.cloud.call("POST", "quotas", {"project": "demo", **quota})

    job = create_vm_that_fails(stage, worker, boot_volume=boot_volume)

    assert (job.status, job.outcome_code) == ("failed", "quota_exceeded")
    assert words in job.outcome_message
    assert Job.objects.filter(status="errored").count() == 0


# --- Half a removal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["delete", "keep"])
def test_what_a_cancelled_removal_took_is_not_kept_by_the_next(stage, worker, then):
    """The removal is cancelled after Cinder has accepted the deletion of a volume; the next one keeps the volumes."""
    run = StoryRun(STORIES_BY_NAME["remove with volumes"], stage, worker).prepare()
    vm = run.prepared
    run.act()
    run.cancel_at(("called", "volumepool.remove_volume", "request_deletion"))
    worker.settle()
    assert stage.list_new_servers() == []

    remove_vm(scope=stage.scope, vm_id=vm.pk, volumes=then, force=True)
    worker.settle()

    assert stage.find_violations() == {}
