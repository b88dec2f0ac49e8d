"""Claims, backfills and reconciliations whose worker dies, and which the cloud refuses or whose answers are lost.

By default some stories are told, with some of the faults and deaths; `make stories` tells all with all: ten minutes.
"""

from __future__ import annotations

import re

import pytest

from tests.faults.creation.stage import UUID_PATTERN
from tests.stories import ALL, select_evenly
from volumepool.models import Volume
from volumepool.services import backfill

from .killable_worker import killable_worker
from .pool.stage import PoolStage, dying_at_write
from .pool.stories import STORIES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

# Of the stories of one test, by default.
MOST = 2
FAULTS = {
    "400": {"kind": "status", "status": 400},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "409": {"kind": "status", "status": 409},
    "413": {"kind": "status", "status": 413},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "lost": {"kind": "lose_answer"},
    "reset": {"kind": "reset"},
    "garbage": {"kind": "garbage"},
}
# None of these is the cloud's "no": it is asked again until it answers.
NO_ANSWER = {"500", "503", "lost", "reset", "garbage"}


@pytest.fixture
def stage(cloud, account):
    with killable_worker() as worker:
        yield PoolStage.of(cloud, account, worker)


def list_request_rules(stage):
    """Return a fault rule for each request to Cinder since the log was emptied."""
    rules = []
    for asked in stage.cloud.call("GET", "requests")["requests"]:
        path = "[^/]+".join(re.escape(part) for part in UUID_PATTERN.split(asked["path"]))
        rule = {"method": asked["method"], "path": f"{path}$"}
        if asked["service"] != "identity" and "_control" not in path and rule not in rules:
            rules.append(rule)
    return rules


def run_undisturbed(stage, story):
    """Run a story undisturbed, and return its requests and how often its worker passed each place."""
    story.prepare(stage)
    stage.worker.passed.clear()
    stage.cloud.call("DELETE", "requests")
    story.act(stage)
    stage.worker.work()
    found = list_request_rules(stage), dict(stage.worker.passed)
    assert settle(stage, story) == []
    return found


def settle(stage, story, *, may_fail=False):
    """Let everything end, and return what is wrong then."""
    wrong = stage.settle()
    count = Volume.objects.count()
    if count != story.tenants and not (may_fail and count < story.tenants):
        wrong.append(f"tenants have {count} volumes")
    return wrong


def stories(*names):
    return pytest.mark.parametrize("name", STORIES if ALL else names)


# Where something has been done and not written yet, and where it has just been; and every other write.
EVERY = 1 if ALL else 8
TOLD_PLACES = {"called", "recorded"}


@stories("claim a spare", "backfill")
def test_wherever_its_worker_dies_it_ends_as_it_would_have(stage, name):
    story = STORIES[name]
    _requests, passed = run_undisturbed(stage, story)
    wrong = []
    # A request dies after "submitted", and no worker: below.
    places = [one for one in passed if one[0] != "submitted" and (ALL or one[0] in TOLD_PLACES)]
    for place in select_evenly(places, MOST):
        story.prepare(stage)
        stage.worker.die_at(place)
        story.act(stage)
        stage.worker.work()
        assert stage.worker.deaths == 1, f"nobody died at {place}"
        wrong += [f"death at {place}: {one}" for one in settle(stage, story)]
    assert wrong == [], "\n".join(wrong)


@stories("claim a spare", "backfill", "reconcile")
def test_a_service_that_dies_at_any_of_its_writes_has_done_all_or_is_done_again(stage, name):
    """The service dies at each commit and inside each transaction, which then leaves nothing."""
    story = STORIES[name]
    wrong, number = [], 1
    while True:
        story.prepare(stage)
        with dying_at_write(number) as reached:
            story.act(stage)
        if len(reached) < number:
            break
        wrong += [f"write {number} ({reached[-1]}): {one}" for one in stage.settle()]
        if Volume.objects.count() not in {0, story.tenants}:
            wrong.append(f"write {number}: tenants have {Volume.objects.count()} volumes")
        number += EVERY
    assert number > 1, "the service has written nothing"
    assert wrong == [], "\n".join(wrong)


@pytest.mark.story
def test_each_fault_strikes_each_request_of_a_creation(stage):
    """Ten spares are created at once, and each meets another fault at the same request: all are created once."""
    asked, _passed = run_undisturbed(stage, STORIES["backfill"])
    wrong = []
    for rule in select_evenly(asked, 4):
        stage.clear(spares=0)
        type(stage.pool).objects.update(desired=len(FAULTS))
        stage.cloud.faults(*[{**fault, **rule, "times": 1} for fault in FAULTS.values()])
        backfill(stage.pool.pk)
        stage.worker.work()
        struck = sum(one["struck"] for one in stage.cloud.call("GET", "faults")["faults"])
        assert struck or "quota" in rule["path"], rule
        wrong += [f"{rule['method']} {rule['path']}: {one}" for one in stage.settle()]
    assert wrong == [], "\n".join(wrong)


TOLD_FAULTS = {"claim a spare": ["lost"], "remove a spare": ["403"]}


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name, some in TOLD_FAULTS.items() for fault in (FAULTS if ALL else some)],
)
def test_whatever_one_request_is_answered_nothing_is_left_and_nothing_is_lost(stage, name, fault):
    story = STORIES[name]
    asked, _passed = run_undisturbed(stage, story)
    wrong = []
    for rule in select_evenly(asked, MOST):
        story.prepare(stage)
        stage.cloud.faults({**FAULTS[fault], **rule, "times": 1})
        story.act(stage)
        stage.worker.work()
        found = settle(stage, story, may_fail=fault not in NO_ANSWER)
        wrong += [f"{rule['method']} {rule['path']}: {one}" for one in found]
    assert wrong == [], "\n".join(wrong)
