"""Come too late to each write: a worker whose lease ran out while it was only slow changes nothing any more."""

from __future__ import annotations

import itertools
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tasks import engine, polling
from tasks.leases import Lease
from tasks.models import AsyncTask, JobLogLine, JobStatus, PollScope
from tests.stories import select_evenly

from .engine_driver import Driver
from .ledger import Answer, ChildrenPlan, Plan, effect_ledger
from .test_crash_points import REFUSES, first, go_on, harness

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["harness"]

SLOW = ("oversleep",)


def run_with_takeover(harness, plan: Plan, times: int = 1) -> Driver:
    """Carry a plan out in which a worker oversleeps its lease in the middle of a step, while another does the job.

    The driver compares: whatever the late one could write is as the other one left it.
    """
    driver = harness.new_driver()
    driver.submit(plan)
    go_on(driver, 6)
    assert driver.takeovers == times
    driver.check()
    driver.check_end()
    return driver


@pytest.mark.parametrize(
    ("step", "answer"),
    select_evenly(itertools.product(["buy", "grow", "polish"], ["done", "wait", "failed", "bug"]), 6),
)
def test_what_a_late_worker_has_to_say_of_a_step_is_refused(harness, step, answer):
    """Also when the step is a watch, of which a job has one at a time, and when it is the last, which ends the job."""
    driver = run_with_takeover(harness, Plan(script={step: [Answer(answer, SLOW)]}))

    job = first(driver)
    assert job.status == JobStatus.SUCCEEDED
    assert effect_ledger.calls[job.pk, step] == 2
    assert effect_ledger.present[job.pk, step] == 1
    assert AsyncTask.objects.count() == 1
    assert job.lines.filter(message="told: succeeded").count() == 1


@pytest.mark.parametrize(
    ("undo", "answer"),
    select_evenly(itertools.product(["sell", "uproot"], ["done", "wait", "failed", "bug"]), 4),
)
def test_what_a_late_worker_has_to_say_of_an_undo_is_refused(harness, undo, answer):
    driver = run_with_takeover(harness, Plan(script={"polish": REFUSES, undo: [Answer(answer, SLOW)]}))

    job = first(driver)
    assert (job.status, job.outcome_code) == (JobStatus.FAILED, "refused")
    assert effect_ledger.calls[job.pk, undo] == 2
    assert not any(effect_ledger.present.values())


@pytest.mark.parametrize("step", ["buy", "grow", "polish"])
def test_who_comes_while_a_lease_stands_finds_nothing_to_do(harness, step):
    driver = harness.new_driver()
    driver.submit(Plan(script={step: [Answer("done", ("other",))]}))

    go_on(driver)

    assert first(driver).status == JobStatus.SUCCEEDED
    assert effect_ledger.calls[first(driver).pk, step] == 1
    driver.check_end()


def test_a_late_worker_of_a_cancelled_job_cannot_bring_it_back(harness):
    driver = run_with_takeover(harness, Plan(script={"buy": [Answer("done", ("cancel", *SLOW))]}))

    assert first(driver).status == JobStatus.CANCELLED
    assert not any(effect_ledger.present.values())


def test_children_are_not_born_twice(harness):
    brood = ChildrenPlan([Plan(spot=1), Plan("batch", 2)], at_once=2)
    driver = run_with_takeover(harness, Plan("project", 0, {"build": [Answer("done", SLOW)]}, build=brood))

    assert sorted(job.subject for job in driver.jobs()) == ["plan0", "plan0.build0", "plan0.build1"]
    assert {job.status for job in driver.jobs()} == {JobStatus.SUCCEEDED}


def test_a_late_spawn_brings_no_children_into_a_job_that_failed_meanwhile(harness):
    script = {"build": [Answer("done", SLOW), Answer("failed"), Answer("failed")]}
    driver = run_with_takeover(harness, Plan("project", 0, script, build=ChildrenPlan([Plan(spot=1)])))

    (job,) = driver.jobs()
    assert job.status == JobStatus.FAILED


def test_a_job_is_ended_once_by_two_who_are_ending_it(harness):
    """Real threads: the late one is inside the transaction of its last word when the other one ends the job."""
    driver = harness.new_driver()
    driver.submit(Plan("batch"))

    def other_worker():
        try:
            driver.end_leases(first(driver).pk)
            engine.advance(first(driver).pk)
        finally:
            connection.close()

    def end_elsewhere(event, job_id):
        thread = threading.Thread(target=other_worker)
        thread.start()
        thread.join()

    effect_ledger.happen = end_elsewhere
    effect_ledger.answers["plan0", "hook"] = [Answer("done", SLOW)]
    engine.advance(first(driver).pk)

    assert first(driver).status == JobStatus.SUCCEEDED
    assert JobLogLine.objects.filter(message="told: succeeded").count() == 1
    driver.check_end()


def test_without_the_owner_in_its_writes_a_late_worker_would_be_believed(harness, monkeypatch):
    """The race is real: the tests above fail when a write only names the job."""
    monkeypatch.setattr(Lease, "held_row", property(lambda lease: lease.row))
    driver = harness.new_driver()
    driver.submit(Plan(script={"buy": [Answer("done", SLOW)]}))

    driver.deliver_all()

    assert effect_ledger.faults


@pytest.fixture
def watched(harness, monkeypatch):
    """A job that watches, and a round of looking during which the lease ends and another does the round."""
    driver = harness.new_driver()
    driver.submit(Plan())
    driver.deliver_all()
    assert AsyncTask.objects.get().verdict == "open"
    watcher = polling._watchers["thing"]
    looked = watcher.poll_one

    def look_slowly(sees, other_sees):
        rounds = []

        def look(scope, object_id):
            rounds.append(object_id)
            if len(rounds) > 1:
                return looked(scope, object_id)
            effect_ledger.turn(object_id, other_sees)
            driver.end_leases()
            driver.poll()
            driver.deliver_all()
            assert len(rounds) == 2
            if isinstance(sees, Exception):
                raise sees
            return polling.Observation(sees)

        monkeypatch.setattr(watcher, "poll_one", look)
        driver.poll()
        return driver

    return look_slowly


@pytest.mark.parametrize(
    "sees", ["small", "grown", "dead", polling.PollError("the garden is closed")], ids=str
)
def test_what_a_late_poller_saw_changes_nothing_that_is_decided(watched, sees):
    driver = watched(sees, other_sees="grown")

    job, task = first(driver), AsyncTask.objects.get()
    assert (job.status, task.verdict, task.last_status) == (JobStatus.SUCCEEDED, "reached", "grown")
    assert task.looks == 1
    assert [step.message for step in job.steps.order_by("position")] == ["", "", ""]
    assert list(PollScope.objects.values_list("owner", "failures")) == [("", 0)]
    driver.check_end()


@pytest.mark.parametrize("sees", ["small", "grown", polling.PollError("the garden is closed")], ids=str)
def test_a_late_poller_does_not_let_go_of_the_scope_that_another_holds(harness, monkeypatch, sees):
    """It would be looked at by two at once from then on."""
    driver = harness.new_driver()
    driver.submit(Plan())
    driver.deliver_all()

    def look(scope, object_id):
        PollScope.objects.update(owner="somebody", lease_until=timezone.now() + timedelta(minutes=1))
        if isinstance(sees, Exception):
            raise sees
        return polling.Observation(sees)

    monkeypatch.setattr(polling._watchers["thing"], "poll_one", look)
    driver.poll()

    assert list(PollScope.objects.values_list("owner", "failures")) == [("somebody", 0)]
