"""The engine's story, told with commands whose world the test can look at."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

from tasks import engine
from tasks.command import Done, Failed, Wait
from tasks.engine import recovery
from tasks.models import EntityLock, Job, JobStatus, Step, StepStatus

from . import external_system
from .external_system import BuildHouseCommand, PaintHouseCommand

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


def submitted(command=None):
    with transaction.atomic():
        return engine.submit(command or BuildHouseCommand()).job


def fresh(job):
    return Job.objects.get(pk=job.pk)


def due_now(job):
    Job.objects.filter(pk=job.pk).update(not_before=timezone.now() - timedelta(seconds=1))


def its_worker_died(job):
    """What a killed worker leaves: an owner whose lease has run out."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def statuses(job):
    return [step.status for step in Step.objects.filter(job=job).order_by("position")]


# --- Recording ---------------------------------------------------------------------------------------------


def test_a_job_is_recorded_in_the_callers_transaction_or_not_at_all():
    with pytest.raises(RuntimeError, match="transaction"):
        engine.submit(BuildHouseCommand())

    with pytest.raises(ZeroDivisionError), transaction.atomic():
        engine.submit(BuildHouseCommand())
        raise ZeroDivisionError

    assert not Job.objects.exists()
    assert not EntityLock.objects.exists()


def test_the_same_command_joins_and_another_is_busy():
    job = submitted()

    with transaction.atomic():
        again = engine.submit(BuildHouseCommand())
    with pytest.raises(engine.BusyError) as painting, transaction.atomic():
        engine.submit(PaintHouseCommand())
    with pytest.raises(engine.BusyError), transaction.atomic():
        engine.submit(BuildHouseCommand(colour="red"))

    assert (again.joined, again.job.pk) == (True, job.pk)
    assert painting.value.job.pk == job.pk
    assert Job.objects.count() == 1


def test_a_refused_command_leaves_nothing():
    with pytest.raises(engine.NotValidError) as refused, transaction.atomic():
        engine.submit(BuildHouseCommand(colour="pink"))

    assert refused.value.code == "ugly"
    assert refused.value.errors == {"colour": ["Not pink."]}
    assert not EntityLock.objects.exists()


def test_two_at_once_give_one_job():
    """Real threads and connections: the lock's unique key makes the second wait, find the first, and join it."""
    start, jobs = threading.Barrier(8), []

    def ask():
        try:
            start.wait()
            with transaction.atomic():
                jobs.append(engine.submit(BuildHouseCommand()))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len({submission.job.pk for submission in jobs}) == 1
    assert [submission.joined for submission in jobs].count(False) == 1


def test_without_the_lock_two_at_once_give_two_jobs(monkeypatch):
    """The race is real: the test above would fail if nobody took locks."""
    monkeypatch.setattr(BuildHouseCommand, "locks", lambda self: [])
    first, second = submitted(), submitted()

    assert first.pk != second.pk


# --- Moving on ---------------------------------------------------------------------------------------------


def test_steps_run_in_order_and_the_end_frees_the_locks():
    job = submitted()

    engine.advance(job.pk)

    ended = fresh(job)
    assert external_system.calls == ["lay", "wall", "roof", "succeeded"]
    assert (ended.status, ended.outcome_code, ended.owner) == (JobStatus.SUCCEEDED, "done", "")
    assert ended.ended_at is not None
    assert statuses(job) == [StepStatus.SUCCEEDED] * 3
    assert not EntityLock.objects.exists()


def test_a_second_message_finds_nothing_to_do():
    job = submitted()
    engine.advance(job.pk)

    engine.advance(job.pk)

    assert external_system.calls.count("lay") == 1


def test_a_step_that_waits_gives_the_process_back_until_its_time():
    external_system.replies["wall"] = [Wait(30, "drying")]
    job = submitted()

    engine.advance(job.pk)
    engine.advance(job.pk)

    waiting = fresh(job)
    assert (waiting.status, waiting.owner) == (JobStatus.WAITING, "")
    assert external_system.calls == ["lay", "wall"]
    assert Step.objects.get(job=job, name="wall").message == "drying"
    due_now(job)
    engine.advance(job.pk)
    assert external_system.calls == ["lay", "wall", "wall*", "roof", "succeeded"]


def test_only_tries_that_failed_are_counted_for_the_back_off():
    external_system.replies["roof"] = [Failed("rain", "It rains.")]
    external_system.replies["unwall"] = [Wait(1), Wait(1), Failed("stuck", "It will not come off."), Wait(1)]
    job, tries = submitted(), []

    for _ in range(4):
        engine.advance(job.pk)
        tries.append(Step.objects.get(job=job, name="wall").tries)
        due_now(job)

    assert tries == [0, 0, 1, 0]


def test_a_step_runs_without_a_transaction():
    seen = []
    external_system.replies["lay"] = [lambda command: seen.append(connection.in_atomic_block)]
    engine.advance(submitted().pk)

    assert seen == [False]


def test_two_workers_run_a_step_once():
    """Real threads: the claim is one statement, so one worker gets the row and the others go away."""
    entered, leave = threading.Event(), threading.Event()

    def until_told(command):
        entered.set()
        leave.wait(10)

    external_system.replies["lay"] = [until_told]
    job = submitted()

    def work():
        try:
            engine.advance(job.pk)
        finally:
            connection.close()

    first = threading.Thread(target=work)
    first.start()
    assert entered.wait(10)
    engine.advance(job.pk)
    leave.set()
    first.join()

    assert external_system.calls.count("lay") == 1
    assert fresh(job).status == JobStatus.SUCCEEDED


def test_without_the_claim_two_workers_run_a_step_twice(monkeypatch):
    """The race is real: a worker that only reads the row runs the step again."""

    def unclaimed(lease, job_id):
        return Job.objects.get(pk=job_id), list(Step.objects.filter(job=job_id).order_by("position"))

    monkeypatch.setattr("tasks.engine.execution.claim_job", unclaimed)
    external_system.replies["lay"] = [lambda command: engine.advance(command.job.pk)]
    engine.advance(submitted().pk)

    assert external_system.calls.count("lay") == 2


# --- Crashes -----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As if by kill -9: no handler of ours may see it."""


def killed(command):
    raise Killed


def test_after_a_crash_finished_steps_stay_finished_and_the_broken_one_is_told():
    external_system.replies["wall"] = [killed]
    job = submitted()
    with pytest.raises(Killed):
        engine.advance(job.pk)

    engine.advance(job.pk)
    assert external_system.calls == ["lay", "wall"]  # the lease still stands
    its_worker_died(job)
    engine.advance(job.pk)

    assert external_system.calls == ["lay", "wall", "wall*", "roof", "succeeded"]
    assert fresh(job).status == JobStatus.SUCCEEDED


def test_a_worker_that_overslept_its_lease_cannot_write():
    def oversleep(command):
        its_worker_died(command.job)
        engine.advance(command.job.pk)  # the rescuer does it all
        return Failed("late", "I come too late.")

    external_system.replies["lay"] = [oversleep]
    job = submitted()

    engine.advance(job.pk)

    ended = fresh(job)
    assert (ended.status, ended.outcome_message) == (JobStatus.SUCCEEDED, "")
    assert external_system.calls == ["lay", "lay*", "wall", "roof", "succeeded"]


def test_a_step_that_kills_every_worker_gets_stuck_with_its_locks(settings):
    settings.JOB_ATTEMPT_CAP = 3
    external_system.replies["lay"] = [killed] * 5
    job = submitted()
    for _ in range(3):
        with pytest.raises(Killed):
            engine.advance(job.pk)
        its_worker_died(job)

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.STUCK
    assert "3 times" in fresh(job).outcome_message
    assert EntityLock.objects.filter(job=job).exists()


def test_when_the_last_write_fails_nothing_of_it_is_written():
    external_system.replies["succeeded"] = [ValueError("no room")]
    job = submitted()
    with pytest.raises(ValueError, match="no room"):
        engine.advance(job.pk)

    assert fresh(job).status == JobStatus.RUNNING
    assert EntityLock.objects.filter(job=job).exists()
    its_worker_died(job)
    engine.advance(job.pk)
    assert fresh(job).status == JobStatus.SUCCEEDED
    assert external_system.calls == ["lay", "wall", "roof", "succeeded", "roof*", "succeeded"]


def test_the_sweep_dispatches_overdue_jobs_and_no_others(monkeypatch):
    dispatched = []
    monkeypatch.setattr(recovery, "dispatch_jobs", lambda jobs: dispatched.extend(pk for pk, _queue in jobs))
    lost, waiting, dead, new = (
        submitted(BuildHouseCommand(key=key)) for key in ("lost", "waiting", "dead", "new")
    )
    done = submitted(BuildHouseCommand(key="done"))
    engine.advance(done.pk)
    long_ago = timezone.now() - timedelta(minutes=1)
    Job.objects.filter(pk__in=[lost.pk, dead.pk]).update(not_before=long_ago)
    Job.objects.filter(pk=waiting.pk).update(
        status="waiting", not_before=timezone.now() + timedelta(minutes=1)
    )
    Job.objects.filter(pk=dead.pk).update(status="running", owner="somebody", lease_until=long_ago)
    dispatched.clear()

    assert engine.sweep() == 2
    assert set(dispatched) == {lost.pk, dead.pk}
    assert engine.sweep() == 0  # dispatched a moment ago
    assert new.pk not in dispatched


# --- What the database itself refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "succeeded", "ended_at": None},
        {"status": "succeeded", "ended_at": timezone.now(), "owner": "somebody"},
        {"status": "queued", "ended_at": timezone.now()},
        {"status": "running", "owner": ""},
        {"status": "dancing"},
    ],
)
def test_the_database_refuses_impossible_jobs(columns):
    job = submitted()

    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(**columns)


def test_prune_forgets_old_ended_jobs_alone():
    old, recent, open_job = (submitted(BuildHouseCommand(key=key)) for key in ("old", "recent", "open"))
    engine.advance(old.pk)
    engine.advance(recent.pk)
    Job.objects.filter(pk=old.pk).update(ended_at=timezone.now() - timedelta(days=100))

    assert engine.prune(older_than=timezone.now() - timedelta(days=90)) == 1
    assert set(Job.objects.values_list("pk", flat=True)) == {recent.pk, open_job.pk}
    close_old_connections()


def test_done_is_the_answer_of_a_step_that_says_nothing():
    external_system.replies["lay"] = [lambda command: Done("laid")]
    job = submitted()
    engine.advance(job.pk)

    assert Step.objects.get(job=job, name="lay").message == "laid"


# --- Steps that the release before has stored under another name ---------------------------------------------


def stored_by_the_release_before(job):
    """Its second step has an old name; the worker died in it."""
    Step.objects.filter(job=job, name="wall").update(name="raise_walls")
    its_worker_died(job)
    return fresh(job)


def test_a_job_goes_on_whose_steps_were_renamed(monkeypatch):
    monkeypatch.setattr(BuildHouseCommand, "renamed_steps", {"raise_walls": "wall"})
    external_system.replies["wall"] = [Wait(60)]
    job = submitted()
    engine.advance(job.pk)
    stored_by_the_release_before(job)
    due_now(job)

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.SUCCEEDED
    steps = Step.objects.filter(job=job).order_by("position")
    assert list(steps.values_list("name", flat=True)) == ["lay", "wall", "roof"]
    assert external_system.calls == ["lay", "wall", "wall*", "roof", "succeeded"]


def test_a_renamed_step_is_taken_back(monkeypatch):
    monkeypatch.setattr(BuildHouseCommand, "renamed_steps", {"raise_walls": "wall"})
    external_system.replies["wall"] = [Wait(60), Failed("no", "No.")]
    job = submitted()
    engine.advance(job.pk)
    stored_by_the_release_before(job)
    due_now(job)

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.FAILED
    assert "unwall" in external_system.calls and "unlay" in external_system.calls
