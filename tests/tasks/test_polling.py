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
    # After a round of many the scope rests; here no time passes between two rounds.
    PollScope.objects.filter(owner="").update(lease_until=None)
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
    worlds.away.append(polling.PollError("the garden is closed", retry_after=7))
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

    monkeypatch.setattr(polling._watchers["thing"], "poll_one", cancelled_meanwhile)
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
    monkeypatch.setattr(polling, "dispatch_poll", lambda watcher, scope, after: rung.append(after))
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

    monkeypatch.setattr("tasks.dispatch._dispatch_poll_once", broken)

    (job,) = planted("oak")

    assert Job.objects.get(pk=job.pk).status == JobStatus.WAITING


# --- One that cannot be looked at never stops the others ---


class Picky:
    """As the world's own watcher, but what it is asked of some things it answers with an exception."""

    def __init__(self, inner, **trouble):
        self.inner, self.trouble, self.asked = inner, trouble, []

    def poll_one(self, scope, object_id):
        self.asked.append(object_id)
        if object_id in self.trouble:
            raise self.trouble[object_id]
        return self.inner.poll_one(scope, object_id)

    def poll_many(self, scope, object_ids, since):
        if error := self.trouble.get("listing"):
            raise error
        seen = dict(self.inner.poll_many(scope, object_ids, since))
        for object_id, error in self.trouble.items():
            if isinstance(error, polling.UnreadableObjectError) and object_id in seen:
                seen[object_id] = error
            elif object_id in seen:
                del seen[object_id]
        return seen


@pytest.fixture
def picky(monkeypatch):
    """Puts one in the place of the world's watcher."""

    def put(**trouble):
        watcher = Picky(polling._watchers["thing"], **trouble)
        monkeypatch.setitem(polling._watchers, "thing", watcher)
        return watcher

    return put


BAD = [
    polling.UnreadableObjectError("an odd tree"),
    ValueError("a bug"),
    RecursionError(),
    KeyError("\x00\ud800"),
]


@pytest.mark.parametrize("error", BAD, ids=repr)
@pytest.mark.parametrize("count", [2, 12], ids=["singly", "by a listing"])
def test_an_exception_of_one_look_ends_that_watch_alone_after_some_tries(picky, error, count):
    jobs = dict(
        zip([f"tree-{n}" for n in range(count)], planted(*(f"tree-{n}" for n in range(count))), strict=True)
    )
    picky(**{"tree-0": error})
    worlds.things["tree-1"] = "grown"
    look()
    assert after(jobs["tree-1"]).status == JobStatus.SUCCEEDED
    for _ in range(polling.MAX_FAILED_POLLS - 2):
        look()
        assert after(jobs["tree-0"]).status == JobStatus.WAITING
    look()

    ended = after(jobs["tree-0"])
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "unreadable")
    assert "could not be read" in ended.outcome_message
    others = AsyncTask.objects.exclude(job__in=[jobs["tree-0"], jobs["tree-1"]])
    assert set(others.values_list("verdict", flat=True)) <= {"open"}
    assert PollScope.objects.get().failures == 0
    rest = {name: job for name, job in jobs.items() if name not in {"tree-0", "tree-1"}}
    worlds.things.update(dict.fromkeys(rest, "grown"))
    look()
    assert {after(job).status for job in rest.values()} <= {JobStatus.SUCCEEDED}


def test_a_look_that_succeeds_forgets_those_that_failed(picky):
    (job,) = planted("oak")
    watcher = picky(oak=ValueError("a bug"))
    for _ in range(polling.MAX_FAILED_POLLS - 1):
        look()
    del watcher.trouble["oak"]
    look()
    assert AsyncTask.objects.get().observation == {}
    watcher.trouble["oak"] = ValueError("a bug")
    look()
    assert after(job).status == JobStatus.WAITING


def test_a_listing_that_errors_leaves_the_single_looks(picky):
    jobs = planted(*(f"tree-{n}" for n in range(8)))
    picky(listing=ValueError("a bug"))
    worlds.things.update({f"tree-{n}": "grown" for n in range(8)})
    for _ in range(3):
        look()
    assert {after(job).status for job in jobs} == {JobStatus.SUCCEEDED}


def test_one_that_gets_no_answer_does_not_put_the_others_off(picky):
    jobs = planted("bad", "good")
    picky(bad=polling.PollError("500"))
    worlds.things["good"] = "grown"
    look()
    assert after(jobs[1]).status == JobStatus.SUCCEEDED
    assert PollScope.objects.get().failures == 0
    assert Step.objects.get(job=jobs[0]).message == "500"
    # By itself it tells no difference from a cloud that is away: it is asked less and less often, until its deadline.
    for _ in range(polling.MAX_FAILED_POLLS + 3):
        look()
    assert after(jobs[0]).status == JobStatus.WAITING


def test_what_the_database_refuses_of_one_observation_ends_that_watch_alone(picky, monkeypatch):
    odd, good = planted("odd", "good")
    real = polling._watchers["thing"].poll_one

    def poll_one(scope, object_id):
        seen = real(scope, object_id)
        return polling.Observation("grown", data={"x": "\x00"}) if object_id == "odd" else seen

    monkeypatch.setattr(polling._watchers["thing"], "poll_one", poll_one)
    worlds.things["good"] = "grown"
    for _ in range(polling.MAX_FAILED_POLLS):
        look()
    assert after(good).status == JobStatus.SUCCEEDED
    assert after(odd).outcome_code == "unreadable"


def test_a_watcher_that_nobody_registered_ends_its_watches(monkeypatch):
    (job,) = planted("oak")
    monkeypatch.delitem(polling._watchers, "thing")
    for _ in range(polling.MAX_FAILED_POLLS):
        look()
    assert after(job).outcome_code == "unreadable"


# --- Nobody waits longer than there is time, and nothing is undone that holds by now ---


def late(job):
    past = timezone.now() - timedelta(seconds=1)
    AsyncTask.objects.update(expires_at=past)
    Step.objects.filter(job=job).update(deadline=past)
    Job.objects.filter(pk=job.pk).update(not_before=past)


def test_however_long_the_outside_wants_to_be_left_alone_it_is_asked_before_the_deadline(picky):
    planted("oak")
    AsyncTask.objects.update(expires_at=timezone.now() + timedelta(seconds=20))
    picky(oak=polling.PollError("busy", retry_after=3600))
    look()
    assert (AsyncTask.objects.get().next_look_at - timezone.now()).total_seconds() <= 20
    AsyncTask.objects.update(expires_at=timezone.now() + timedelta(hours=2))
    look()
    assert (
        AsyncTask.objects.get().next_look_at - timezone.now()
    ).total_seconds() <= polling.LONGEST_POSTPONEMENT_SECONDS


def test_what_holds_by_the_deadline_is_done_and_not_undone(picky):
    (job,) = planted("oak")
    picky(oak=polling.PollError("busy", retry_after=3600))
    look()
    polling._watchers["thing"].trouble.clear()
    worlds.things["oak"] = "grown"
    late(job)
    assert after(job).status == JobStatus.SUCCEEDED
    assert worlds.happened == ["grown:3"]


def test_what_is_refused_by_the_deadline_ends_with_the_outsides_own_words():
    (job,) = planted("oak")
    worlds.things["oak"] = "dead"
    late(job)
    assert after(job).outcome_code == "refused_by_cloud"


@pytest.mark.parametrize("error", [polling.PollError("away"), ValueError("a bug")], ids=repr)
def test_what_cannot_be_seen_at_the_deadline_is_late(picky, error):
    (job,) = planted("oak")
    picky(oak=error)
    late(job)
    assert after(job).outcome_code == "timeout"


def test_the_jobs_own_deadline_looks_once_more_too():
    (job,) = planted("oak")
    worlds.things["oak"] = "grown"
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(deadline=past, not_before=past)
    assert after(job).status == JobStatus.SUCCEEDED
