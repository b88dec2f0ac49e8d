"""Polls that fail, and watches at their deadline: no object affects the watches of others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks import polling
from tasks.models import AsyncTask, Job, JobStatus, PollScope, Step

from . import external_system
from .watching_jobs import advance_job, poll_scope, submit_watching_jobs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


# --- Objects that cannot be polled ---


class FailingWatcher:
    """A watcher that raises given errors for some objects, and otherwise polls the external system."""

    def __init__(self, inner, **errors):
        self.inner, self.errors, self.polled = inner, errors, []

    def poll_one(self, scope, object_id):
        self.polled.append(object_id)
        if object_id in self.errors:
            raise self.errors[object_id]
        return self.inner.poll_one(scope, object_id)

    def poll_many(self, scope, object_ids, since):
        if error := self.errors.get("listing"):
            raise error
        seen = dict(self.inner.poll_many(scope, object_ids, since))
        for object_id, error in self.errors.items():
            if isinstance(error, polling.UnreadableObjectError) and object_id in seen:
                seen[object_id] = error
            elif object_id in seen:
                del seen[object_id]
        return seen


@pytest.fixture
def failing_watcher(monkeypatch):
    """Return a function that replaces the watcher of the external system by a `FailingWatcher`."""

    def put(**errors):
        watcher = FailingWatcher(polling._watchers["thing"], **errors)
        monkeypatch.setitem(polling._watchers, "thing", watcher)
        return watcher

    return put


POLL_ERRORS = [
    polling.UnreadableObjectError("an odd tree"),
    ValueError("a bug"),
    RecursionError(),
    KeyError("\x00\ud800"),
]


@pytest.mark.parametrize("error", POLL_ERRORS, ids=repr)
@pytest.mark.parametrize("count", [2, 12], ids=["singly", "by a listing"])
def test_an_exception_of_one_poll_ends_only_that_watch_after_some_tries(failing_watcher, error, count):
    jobs = dict(
        zip(
            [f"tree-{n}" for n in range(count)],
            submit_watching_jobs(*(f"tree-{n}" for n in range(count))),
            strict=True,
        )
    )
    failing_watcher(**{"tree-0": error})
    external_system.objects["tree-1"] = "grown"
    poll_scope()
    assert advance_job(jobs["tree-1"]).status == JobStatus.SUCCEEDED
    for _ in range(polling.MAX_FAILED_POLLS - 2):
        poll_scope()
        assert advance_job(jobs["tree-0"]).status == JobStatus.WAITING
    poll_scope()

    ended = advance_job(jobs["tree-0"])
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "unreadable")
    assert "could not be read" in ended.outcome_message
    others = AsyncTask.objects.exclude(job__in=[jobs["tree-0"], jobs["tree-1"]])
    assert set(others.values_list("verdict", flat=True)) <= {"open"}
    assert PollScope.objects.get().failures == 0
    rest = {name: job for name, job in jobs.items() if name not in {"tree-0", "tree-1"}}
    external_system.objects.update(dict.fromkeys(rest, "grown"))
    poll_scope()
    assert {advance_job(job).status for job in rest.values()} <= {JobStatus.SUCCEEDED}


def test_a_successful_poll_resets_the_count_of_failures(failing_watcher):
    (job,) = submit_watching_jobs("oak")
    watcher = failing_watcher(oak=ValueError("a bug"))
    for _ in range(polling.MAX_FAILED_POLLS - 1):
        poll_scope()
    del watcher.errors["oak"]
    poll_scope()
    assert AsyncTask.objects.get().observation == {}
    watcher.errors["oak"] = ValueError("a bug")
    poll_scope()
    assert advance_job(job).status == JobStatus.WAITING


def test_after_a_failed_listing_objects_are_polled_singly(failing_watcher):
    jobs = submit_watching_jobs(*(f"tree-{n}" for n in range(8)))
    failing_watcher(listing=ValueError("a bug"))
    external_system.objects.update({f"tree-{n}": "grown" for n in range(8)})
    for _ in range(3):
        poll_scope()
    assert {advance_job(job).status for job in jobs} == {JobStatus.SUCCEEDED}


def test_an_unanswered_poll_does_not_postpone_the_others(failing_watcher):
    jobs = submit_watching_jobs("bad", "good")
    failing_watcher(bad=polling.PollError("500"))
    external_system.objects["good"] = "grown"
    poll_scope()
    assert advance_job(jobs[1]).status == JobStatus.SUCCEEDED
    assert PollScope.objects.get().failures == 0
    assert Step.objects.get(job=jobs[0]).message == "500"
    # Alone in its scope, it looks like a cloud that does not answer: it is polled less and less often until its deadline.
    for _ in range(polling.MAX_FAILED_POLLS + 3):
        poll_scope()
    assert advance_job(jobs[0]).status == JobStatus.WAITING


def test_an_observation_that_the_database_refuses_ends_only_its_watch(failing_watcher, monkeypatch):
    odd, good = submit_watching_jobs("odd", "good")
    real = polling._watchers["thing"].poll_one

    def poll_one(scope, object_id):
        seen = real(scope, object_id)
        return polling.Observation("grown", data={"x": "\x00"}) if object_id == "odd" else seen

    monkeypatch.setattr(polling._watchers["thing"], "poll_one", poll_one)
    external_system.objects["good"] = "grown"
    for _ in range(polling.MAX_FAILED_POLLS):
        poll_scope()
    assert advance_job(good).status == JobStatus.SUCCEEDED
    assert advance_job(odd).outcome_code == "unreadable"


def test_an_unregistered_watcher_ends_its_watches(monkeypatch):
    (job,) = submit_watching_jobs("oak")
    monkeypatch.delitem(polling._watchers, "thing")
    for _ in range(polling.MAX_FAILED_POLLS):
        poll_scope()
    assert advance_job(job).outcome_code == "unreadable"


# --- Deadlines ---


def pass_deadline(job):
    past = timezone.now() - timedelta(seconds=1)
    AsyncTask.objects.update(expires_at=past)
    Step.objects.filter(job=job).update(deadline=past)
    Job.objects.filter(pk=job.pk).update(not_before=past)


def test_a_poll_is_never_postponed_beyond_the_deadline_or_the_limit(failing_watcher):
    submit_watching_jobs("oak")
    AsyncTask.objects.update(expires_at=timezone.now() + timedelta(seconds=20))
    failing_watcher(oak=polling.PollError("busy", retry_after=3600))
    poll_scope()
    assert (AsyncTask.objects.get().next_look_at - timezone.now()).total_seconds() <= 20
    AsyncTask.objects.update(expires_at=timezone.now() + timedelta(hours=2))
    poll_scope()
    assert (
        AsyncTask.objects.get().next_look_at - timezone.now()
    ).total_seconds() <= polling.LONGEST_POSTPONEMENT_SECONDS


def test_a_status_reached_at_the_deadline_succeeds(failing_watcher):
    (job,) = submit_watching_jobs("oak")
    failing_watcher(oak=polling.PollError("busy", retry_after=3600))
    poll_scope()
    polling._watchers["thing"].errors.clear()
    external_system.objects["oak"] = "grown"
    pass_deadline(job)
    assert advance_job(job).status == JobStatus.SUCCEEDED
    assert external_system.calls == ["grown:3"]


def test_a_status_refused_at_the_deadline_fails_with_its_reason():
    (job,) = submit_watching_jobs("oak")
    external_system.objects["oak"] = "dead"
    pass_deadline(job)
    assert advance_job(job).outcome_code == "refused_by_cloud"


@pytest.mark.parametrize("error", [polling.PollError("away"), ValueError("a bug")], ids=repr)
def test_an_object_that_cannot_be_polled_at_the_deadline_times_out(failing_watcher, error):
    (job,) = submit_watching_jobs("oak")
    failing_watcher(oak=error)
    pass_deadline(job)
    assert advance_job(job).outcome_code == "timeout"


def test_the_jobs_own_deadline_polls_once_more():
    (job,) = submit_watching_jobs("oak")
    external_system.objects["oak"] = "grown"
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(deadline=past, not_before=past)
    assert advance_job(job).status == JobStatus.SUCCEEDED
