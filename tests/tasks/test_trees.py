"""Children: how they are born, how they end, and how failure, cancel and undo go through the tree."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from tasks import engine
from tasks.command import Failed, Spawn, Wait
from tasks.models import ENDED, EntityLock, Job, JobStatus, Step, StepStatus
from tests.working import work

from . import external_system
from .external_system import BuildCountyCommand, BuildVillageCommand, PaintHouseCommand
from .test_engine import fresh, submitted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


def children(job):
    return list(Job.objects.filter(parent=job).order_by("position"))


def statuses(job):
    return [child.status for child in children(job)]


def advance_all():
    """One pass of a worker over everything that has not ended."""
    for pk in (
        Job.objects.exclude(status__in=ENDED).order_by("created_at", "position").values_list("pk", flat=True)
    ):
        engine.advance(pk)


def overdue(**which):
    Job.objects.filter(**which).update(not_before=timezone.now() - timedelta(seconds=1))


# --- Birth and end -----------------------------------------------------------------------------------------


def test_children_run_one_after_another_and_the_parent_goes_on_when_all_have_ended():
    job = submitted(BuildVillageCommand(["a", "b"]))

    work()

    assert external_system.calls == [
        "survey",
        "build",
        "raise a",
        "roof a",
        "raise b",
        "roof b",
        "feast",
        "village:succeeded",
    ]
    assert fresh(job).status == JobStatus.SUCCEEDED
    assert statuses(job) == [JobStatus.SUCCEEDED] * 2
    assert not EntityLock.objects.exists()


def test_only_so_many_run_at_once_and_each_that_ends_lets_the_next_begin():
    for key in "abcde":
        external_system.replies[f"raise {key}"] = [Wait(0)]
    job = submitted(BuildVillageCommand(list("abcde"), at_once=2))
    engine.advance(job.pk)

    assert [child.held for child in children(job)] == [False, False, True, True, True]
    advance_all()
    assert external_system.calls[2:] == ["raise a", "raise b"]
    advance_all()
    assert [child.held for child in children(job)] == [False, False, False, False, True]
    work()
    assert fresh(job).status == JobStatus.SUCCEEDED


def test_the_last_child_wakes_the_parent_at_once(monkeypatch):
    job = submitted(BuildVillageCommand(["a", "b"], at_once=2))
    engine.advance(job.pk)
    first, last = children(job)
    engine.advance(first.pk)
    dispatched = []
    monkeypatch.setattr(
        "tasks.engine.children.dispatch_jobs", lambda jobs: dispatched.extend(pk for pk, _queue in jobs)
    )

    assert fresh(job).not_before > timezone.now()
    engine.advance(last.pk)

    assert dispatched == [job.pk]
    assert fresh(job).not_before <= timezone.now()


def test_a_parent_without_children_to_wait_for_goes_on():
    job = submitted(BuildVillageCommand([]))

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.SUCCEEDED


def test_two_that_end_at_the_same_moment_are_both_counted_and_one_is_the_last(monkeypatch):
    """Real threads: both hold their end open together; the parent's row makes them count one after the other."""
    job = submitted(BuildVillageCommand(["a", "b"], at_once=2))
    engine.advance(job.pk)
    both = threading.Barrier(2)
    for key in "ab":
        external_system.replies[f"roof {key}"] = [lambda command: both.wait(10) and None]

    def run(pk):
        try:
            engine.advance(pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[child.pk]) for child in children(job)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert fresh(job).children_open == 0
    engine.advance(job.pk)
    assert fresh(job).status == JobStatus.SUCCEEDED


def test_a_child_that_ends_while_its_parent_is_looked_at_is_not_missed(monkeypatch):
    """The parent's worker is about to give the row back when the last child ends: it must see that."""
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)
    (child,) = children(job)
    overdue(pk=job.pk)
    claimed = engine.claims.claim_job

    def slowly(lease, job_id):
        row = claimed(lease, job_id)
        if job_id == job.pk and not fresh(child).has_ended:
            engine.advance(child.pk)
        return row

    monkeypatch.setattr("tasks.engine.execution.claim_job", slowly)

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.SUCCEEDED


def test_the_database_refuses_a_parent_that_ends_before_its_children():
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)

    with pytest.raises(IntegrityError, match="job_ends_after_its_children"):
        Job.objects.filter(pk=job.pk).update(status="failed", ended_at=timezone.now(), owner="")


def test_children_borrow_the_roots_locks_and_keys_it_lacks_are_taken_for_it():
    job = submitted(BuildVillageCommand(["a", "b"]))
    engine.advance(job.pk)

    assert {(lock.key, lock.job_id) for lock in EntityLock.objects.all()} == {
        ("village", job.pk),
        ("house:a", job.pk),
        ("house:b", job.pk),
    }
    engine.advance(children(job)[0].pk)
    with pytest.raises(engine.BusyError), transaction.atomic():
        engine.submit(PaintHouseCommand("a"))  # its child has ended, the root has not: it may still be undone
    work()
    assert not EntityLock.objects.exists()


def test_a_child_whose_entity_is_another_jobs_fails_the_step_and_leaves_no_child():
    painting = submitted(PaintHouseCommand("b"))
    external_system.replies["paint"] = [Wait(100)]
    engine.advance(painting.pk)
    job = submitted(BuildVillageCommand(["a", "b"]))

    engine.advance(job.pk)

    ended = fresh(job)
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "busy")
    assert str(painting.pk) in ended.outcome_message
    assert not children(job)
    assert list(EntityLock.objects.values_list("key", flat=True)) == ["house:b"]
    assert external_system.calls == ["paint", "survey", "build", "unsurvey", "village:failed:busy"]


def test_a_child_is_validated_when_it_begins():
    job = submitted(BuildVillageCommand(["a"], colour="pink"))

    work()

    ended, (child,) = fresh(job), children(job)
    assert (child.status, child.outcome_code, child.outcome_message) == (
        JobStatus.FAILED,
        "ugly",
        "Not pink.",
    )
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "ugly")
    assert ended.outcome_message == "House a: Not pink."
    assert "raise a" not in external_system.calls


def test_a_childs_time_counts_from_its_own_beginning():
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)
    external_system.replies["raise a"] = [Wait(100)]
    (child,) = children(job)
    engine.advance(child.pk)

    Job.objects.filter(pk=child.pk).update(
        started_at=timezone.now() - external_system.HouseCommand.deadline - timedelta(seconds=1)
    )
    overdue(pk=child.pk)
    work()

    assert (fresh(child).status, fresh(child).outcome_code) == (JobStatus.FAILED, "deadline")
    assert fresh(job).status == JobStatus.FAILED


# --- Failure -----------------------------------------------------------------------------------------------


def test_a_failed_child_fails_its_parent_and_what_the_others_did_is_taken_back():
    external_system.replies["roof b"] = [Failed("rain", "It rains.")]
    job = submitted(BuildVillageCommand(["a", "b", "c"]))

    work()

    assert external_system.calls == [
        "survey",
        "build",
        "raise a",
        "roof a",
        "raise b",
        "roof b",
        "tear b",
        "b:failed:rain",
        "c:cancelled:cancelled",
        "tear a",
        "a:cancelled:undone",
        "unsurvey",
        "village:failed:rain",
    ]
    ended = fresh(job)
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "rain")
    assert ended.outcome_message == "House b: It rains."
    assert statuses(job) == [JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.CANCELLED]
    assert [step.status for step in ended.steps.all()] == [
        StepStatus.UNDONE,
        StepStatus.UNDONE,
        StepStatus.SKIPPED,
    ]
    assert not EntityLock.objects.exists()


def test_children_side_by_side_are_cancelled_when_one_fails():
    external_system.replies["raise a"] = [Wait(1000)]
    external_system.replies["raise b"] = [Failed("rain", "It rains.")]
    job = submitted(BuildVillageCommand(["a", "b"], at_once=2))
    for _ in range(2):
        advance_all()

    work()

    assert statuses(job) == [JobStatus.CANCELLED, JobStatus.FAILED]
    assert external_system.calls.count("tear a") == 1
    assert fresh(job).outcome_code == "rain"


def test_optional_children_all_run_and_the_parent_reads_how_they_ended():
    read = []
    external_system.replies["raise a"] = [Failed("rain", "It rains.")]
    external_system.replies["feast"] = [
        lambda command: read.extend(child.outcome_code for child in command.children_of("build"))
    ]
    job = submitted(BuildVillageCommand(["a", "b"], optional=True))

    work()

    assert fresh(job).status == JobStatus.SUCCEEDED
    assert statuses(job) == [JobStatus.FAILED, JobStatus.SUCCEEDED]
    assert read == ["rain", "done"]


def test_a_later_failure_takes_children_back_the_last_first():
    external_system.replies["feast"] = [Failed("no_wine", "No wine.")]
    job = submitted(BuildVillageCommand(["a", "b", "c"]))

    work()

    assert [note for note in external_system.calls if note.startswith("tear")] == [
        "tear c",
        "tear b",
        "tear a",
    ]
    assert statuses(job) == [JobStatus.CANCELLED] * 3
    assert fresh(job).outcome_code == "no_wine"


def test_what_permanent_children_did_stays():
    external_system.replies["feast"] = [Failed("no_wine", "No wine.")]
    job = submitted(BuildVillageCommand(["a", "b"], permanent=True))

    work()

    assert statuses(job) == [JobStatus.SUCCEEDED] * 2
    assert not [note for note in external_system.calls if note.startswith("tear")]
    assert Step.objects.get(job=job, name="build").status == StepStatus.SUCCEEDED
    assert fresh(job).status == JobStatus.FAILED


def test_a_child_with_a_bug_of_ours_makes_the_root_errored_with_its_traceback():
    external_system.replies["raise a"] = [KeyError("beam")]
    job = submitted(BuildVillageCommand(["a"]))

    work()

    ended = fresh(job)
    assert (ended.status, ended.outcome_code) == (JobStatus.ERRORED, "internal_error")
    assert "beam" in ended.traceback
    assert "beam" not in ended.outcome_message


# --- Three generations -------------------------------------------------------------------------------------


def test_failure_and_undo_go_through_every_generation():
    external_system.replies["roof n2"] = [Failed("rain", "It rains.")]
    job = submitted(BuildCountyCommand(["m", "n"]))

    work()

    assert fresh(job).status == JobStatus.FAILED
    assert statuses(job) == [JobStatus.CANCELLED, JobStatus.FAILED]
    torn = {note for note in external_system.calls if note.startswith("tear")}
    assert torn == {"tear m1", "tear m2", "tear n1", "tear n2"}
    assert not EntityLock.objects.exists()
    assert {child.root_id for child in Job.objects.all()} == {job.pk}


def test_cancel_goes_through_every_generation():
    external_system.replies["roof m1"] = [Wait(1000)]
    job = submitted(BuildCountyCommand(["m", "n"]))
    for _ in range(4):
        advance_all()
    assert "raise m1" in external_system.calls

    assert engine.cancel(fresh(job))
    work()

    assert {row.status for row in Job.objects.all()} == {JobStatus.CANCELLED}
    torn = {note for note in external_system.calls if note.startswith("tear")}
    assert torn == {"tear m1"}
    assert "unsurvey" in external_system.calls
    assert not EntityLock.objects.exists()


# --- Mistakes ----------------------------------------------------------------------------------------------


def test_no_child_can_be_told_to_run_none_at_once():
    with pytest.raises(ValueError, match="at_once is 0"):
        Spawn([], at_once=0)


def test_an_undo_that_would_spawn_is_a_bug_that_gets_stuck(settings):
    settings.JOB_ATTEMPT_CAP = 1
    external_system.replies["feast"] = [Failed("no_wine", "No wine.")]
    external_system.replies["unsurvey"] = [Spawn([]), Spawn([])]
    job = submitted(BuildVillageCommand([]))
    engine.advance(job.pk)
    overdue(pk=job.pk)
    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.STUCK
    assert "returned Spawn" in fresh(job).traceback
