"""What goes on outside is looked at once per scope, and decides jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from tasks import engine, polling
from tasks.models import AsyncTask, Job, JobStatus, PollScope, Step

from . import worlds
from .worlds import GrowTree

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def new_world():
    worlds.empty()


def planted(*names):
    jobs = []
    for name in names:
        worlds.things[name] = "small"
        with transaction.atomic():
            jobs.append(engine.submit(GrowTree(name)).job)
        engine.advance(jobs[-1].pk)
    return jobs


def all_due():
    AsyncTask.objects.update(next_look_at=timezone.now() - timedelta(seconds=1))


def look():
    all_due()
    polling.poll("thing", "garden")


def after(job):
    engine.advance(job.pk)
    return Job.objects.get(pk=job.pk)


def test_a_job_waits_until_the_outside_is_as_wanted():
    (job,) = planted("oak")
    look()
    assert after(job).status == JobStatus.WAITING

    worlds.things["oak"] = "grown"
    look()

    assert after(job).status == JobStatus.SUCCEEDED
    assert worlds.happened == ["grown:3"]


def test_what_must_not_be_fails_the_job_with_the_fault():
    (job,) = planted("oak")
    worlds.things["oak"] = "dead"
    look()

    assert after(job).status == JobStatus.FAILED
    assert worlds.happened[0].startswith("failed:refused_by_cloud:")
    assert "frost" in worlds.happened[0]


def test_what_is_gone_fails_the_job():
    (job,) = planted("oak")
    del worlds.things["oak"]
    look()

    assert after(job).status == JobStatus.FAILED


def test_few_are_looked_at_singly_and_many_by_one_listing():
    planted("a", "b")
    look()
    assert worlds.looks == [("one", 1), ("one", 1)]

    worlds.looks.clear()
    planted(*(f"tree-{n}" for n in range(50)))
    look()
    assert worlds.looks == [("many", 52)]


def test_a_look_that_fails_says_so_on_the_step_and_comes_back_later():
    (job,) = planted("oak")
    worlds.away.append(polling.LookFailed("the garden is closed", retry_after=7))
    look()

    task = AsyncTask.objects.get(job=job)
    assert task.verdict == AsyncTask.Verdict.OPEN
    assert 6 < (task.next_look_at - timezone.now()).total_seconds() < 8
    assert Step.objects.get(job=job).message == "the garden is closed"
    assert PollScope.objects.get().failures == 1
    worlds.away.clear()
    worlds.things["oak"] = "grown"
    look()
    assert after(job).status == JobStatus.SUCCEEDED
    assert PollScope.objects.get().failures == 0


def test_looks_come_less_and_less_often():
    (job,) = planted("oak")
    pauses = []
    for _ in range(9):
        look()
        task = AsyncTask.objects.get(job=job)
        pauses.append((task.next_look_at - timezone.now()).total_seconds())

    assert 0.2 < pauses[0] < 0.5
    assert pauses[-1] <= 11.3
    assert pauses[-1] > 8
    assert pauses[3] > pauses[0] * 2


def test_a_scope_is_polled_by_one_at_a_time():
    planted("oak")
    all_due()
    PollScope.objects.update(owner="somebody", lease_until=timezone.now() + timedelta(seconds=30))
    polling.poll("thing", "garden")
    assert worlds.looks == []

    PollScope.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    polling.poll("thing", "garden")
    assert worlds.looks == [("one", 1)]


def test_a_cancel_during_the_look_is_not_overwritten(monkeypatch):
    (job,) = planted("oak")
    worlds.things["oak"] = "grown"

    def cancelled_meanwhile(scope, object_id):
        engine.cancel(Job.objects.get(pk=job.pk))
        engine.advance(job.pk)
        return polling.Observation("grown", data={"height": 3})

    monkeypatch.setattr(polling._watchers["thing"], "look_at_one", cancelled_meanwhile)
    look()

    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELLED
    assert AsyncTask.objects.get(job=job).verdict == AsyncTask.Verdict.DROPPED


def test_a_watch_past_its_deadline_fails_the_job():
    (job,) = planted("oak")
    past = timezone.now() - timedelta(seconds=1)
    AsyncTask.objects.update(expires_at=past, last_status="small")
    Step.objects.update(deadline=past)
    Job.objects.update(not_before=past)

    ended = after(job)

    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "timeout")
    assert "small" in ended.outcome_message


def test_where_one_thing_moves_the_others_are_looked_at_soon():
    (moves,) = planted("moves")
    (waits,) = planted("waits")
    for _ in range(9):
        look()
    worlds.things["moves"] = "grown"

    look()

    assert after(moves).status == JobStatus.SUCCEEDED
    task = AsyncTask.objects.get(job=waits)
    assert (task.next_look_at - timezone.now()).total_seconds() <= polling.SOON_SECONDS


def test_a_listing_decides_for_those_too_whose_time_has_not_come():
    jobs = planted(*(f"tree-{n}" for n in range(10)))
    later = timezone.now() + timedelta(seconds=60)
    all_due()
    AsyncTask.objects.filter(job=jobs[0]).update(next_look_at=later)
    worlds.things["tree-0"] = "grown"

    polling.poll("thing", "garden")

    assert AsyncTask.objects.get(job=jobs[0]).verdict == AsyncTask.Verdict.REACHED
    assert worlds.looks == [("many", 10)]


def test_after_a_round_of_many_the_scope_rests_and_is_rung_for_when_that_is_over(monkeypatch):
    rung = []
    planted(*(f"tree-{n}" for n in range(10)))
    look()
    monkeypatch.setattr(polling, "ring_poll", lambda watcher, scope, after: rung.append(after))
    all_due()

    polling.poll("thing", "garden")
    assert worlds.looks == [("many", 10)]
    assert 0 < rung[0] <= polling.ROUND_SECONDS

    PollScope.objects.update(lease_until=timezone.now() - timedelta(seconds=0.01))
    polling.poll("thing", "garden")
    assert worlds.looks == [("many", 10), ("many", 10)]


def test_a_ring_for_a_scope_that_fails_after_the_commit_fails_nothing_else(monkeypatch):
    def broken(*args):
        raise ValueError("no bell")

    monkeypatch.setattr("tasks.doorbell._ring_poll_once", broken)

    (job,) = planted("oak")

    assert Job.objects.get(pk=job.pk).status == JobStatus.WAITING
