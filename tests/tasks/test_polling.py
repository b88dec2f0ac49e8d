"""The polls of a scope: one request for all watches of a scope, whose verdicts decide jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks import engine, polling
from tasks.models import AsyncTask, Job, JobStatus, PollScope, Step

from . import external_system
from .watching_jobs import advance_job, make_polls_due, poll_scope, submit_watching_jobs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


def test_a_job_waits_until_its_object_has_an_awaited_status():
    (job,) = submit_watching_jobs("oak")
    poll_scope()
    assert advance_job(job).status == JobStatus.WAITING

    external_system.objects["oak"] = "grown"
    poll_scope()

    assert advance_job(job).status == JobStatus.SUCCEEDED
    assert external_system.calls == ["grown:3"]


def test_a_refused_status_fails_the_job_with_the_fault():
    (job,) = submit_watching_jobs("oak")
    external_system.objects["oak"] = "dead"
    poll_scope()

    assert advance_job(job).status == JobStatus.FAILED
    assert external_system.calls[0].startswith("failed:refused_by_cloud:")
    assert "frost" in external_system.calls[0]


def test_a_missing_object_fails_the_job():
    (job,) = submit_watching_jobs("oak")
    del external_system.objects["oak"]
    poll_scope()

    assert advance_job(job).status == JobStatus.FAILED


def test_few_objects_are_polled_singly_and_many_by_one_listing():
    submit_watching_jobs("a", "b")
    poll_scope()
    assert external_system.polls == [("one", 1), ("one", 1)]

    external_system.polls.clear()
    submit_watching_jobs(*(f"tree-{n}" for n in range(50)))
    poll_scope()
    assert external_system.polls == [("many", 52)]


def test_a_failed_poll_is_shown_on_the_step_and_postponed():
    (job,) = submit_watching_jobs("oak")
    external_system.outages.append(polling.PollError("the garden is closed", retry_after=7))
    poll_scope()

    task = AsyncTask.objects.get(job=job)
    assert task.verdict == AsyncTask.Verdict.OPEN
    assert 6 < (task.next_look_at - timezone.now()).total_seconds() < 8
    assert Step.objects.get(job=job).message == "the garden is closed"
    assert PollScope.objects.get().failures == 1
    external_system.outages.clear()
    external_system.objects["oak"] = "grown"
    poll_scope()
    assert advance_job(job).status == JobStatus.SUCCEEDED
    assert PollScope.objects.get().failures == 0


def test_polls_become_less_frequent():
    (job,) = submit_watching_jobs("oak")
    pauses = []
    for _ in range(9):
        poll_scope()
        task = AsyncTask.objects.get(job=job)
        pauses.append((task.next_look_at - timezone.now()).total_seconds())

    assert 0.2 < pauses[0] < 0.5
    assert pauses[-1] <= 11.3
    assert pauses[-1] > 8
    assert pauses[3] > pauses[0] * 2


def test_a_scope_is_polled_by_one_worker_at_a_time():
    submit_watching_jobs("oak")
    make_polls_due()
    PollScope.objects.update(owner="somebody", lease_until=timezone.now() + timedelta(seconds=30))
    polling.poll("thing", "garden")
    assert external_system.polls == []

    PollScope.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    polling.poll("thing", "garden")
    assert external_system.polls == [("one", 1)]


def test_a_cancel_during_a_poll_is_not_overwritten(monkeypatch):
    (job,) = submit_watching_jobs("oak")
    external_system.objects["oak"] = "grown"

    def cancelled_meanwhile(scope, object_id):
        engine.cancel(Job.objects.get(pk=job.pk))
        engine.advance(job.pk)
        return polling.Observation("grown", data={"height": 3})

    monkeypatch.setattr(polling._watchers["thing"], "poll_one", cancelled_meanwhile)
    poll_scope()

    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELLED
    assert AsyncTask.objects.get(job=job).verdict == AsyncTask.Verdict.DROPPED


def test_a_watch_past_its_deadline_fails_the_job():
    (job,) = submit_watching_jobs("oak")
    past = timezone.now() - timedelta(seconds=1)
    AsyncTask.objects.update(expires_at=past, last_status="small")
    Step.objects.update(deadline=past)
    Job.objects.update(not_before=past)

    ended = advance_job(job)

    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "timeout")
    assert "small" in ended.outcome_message


def test_after_a_decided_watch_the_others_are_polled_soon():
    (moves,) = submit_watching_jobs("moves")
    (waits,) = submit_watching_jobs("waits")
    for _ in range(9):
        poll_scope()
    external_system.objects["moves"] = "grown"

    poll_scope()

    assert advance_job(moves).status == JobStatus.SUCCEEDED
    task = AsyncTask.objects.get(job=waits)
    assert (task.next_look_at - timezone.now()).total_seconds() <= polling.SOON_SECONDS


def test_a_listing_also_decides_watches_that_are_not_due():
    jobs = submit_watching_jobs(*(f"tree-{n}" for n in range(10)))
    later = timezone.now() + timedelta(seconds=60)
    make_polls_due()
    AsyncTask.objects.filter(job=jobs[0]).update(next_look_at=later)
    external_system.objects["tree-0"] = "grown"

    polling.poll("thing", "garden")

    assert AsyncTask.objects.get(job=jobs[0]).verdict == AsyncTask.Verdict.REACHED
    assert external_system.polls == [("many", 10)]


def test_after_a_round_of_many_the_scope_rests_and_is_dispatched_for_its_end(monkeypatch):
    dispatched = []
    submit_watching_jobs(*(f"tree-{n}" for n in range(10)))
    poll_scope()
    monkeypatch.setattr(polling, "dispatch_poll", lambda watcher, scope, after: dispatched.append(after))
    make_polls_due()

    polling.poll("thing", "garden")
    assert external_system.polls == [("many", 10)]
    assert 0 < dispatched[0] <= polling.ROUND_SECONDS

    PollScope.objects.update(lease_until=timezone.now() - timedelta(seconds=0.01))
    polling.poll("thing", "garden")
    assert external_system.polls == [("many", 10), ("many", 10)]


def test_a_failed_dispatch_of_a_poll_after_the_commit_fails_nothing_else(monkeypatch):
    def broken(*args):
        raise ValueError("no bell")

    monkeypatch.setattr("tasks.dispatch._dispatch_poll_once", broken)

    (job,) = submit_watching_jobs("oak")

    assert Job.objects.get(pk=job.pk).status == JobStatus.WAITING
