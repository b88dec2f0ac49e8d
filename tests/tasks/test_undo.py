"""Failure, cancel and deadlines: what a job did is taken back before that is final."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks import engine
from tasks.command import Failed, Wait
from tasks.engine.claims import Claim, FencedError, job_row
from tasks.leases import Lease
from tasks.models import EntityLock, Job, JobStatus, Step, StepStatus

from . import external_system
from .external_system import BuildHouseCommand
from .test_engine import Killed, due_now, fresh, its_worker_died, killed, statuses, submitted

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def reset_external_system():
    external_system.reset()


def test_failure_is_undone_backwards_before_it_is_final():
    external_system.replies["roof"] = [Failed("rain", "It rains.")]
    job = submitted()

    engine.advance(job.pk)

    ended = fresh(job)
    assert external_system.calls == ["lay", "wall", "roof", "unwall", "unlay", "failed:failed:rain"]
    assert (ended.status, ended.outcome_code, ended.outcome_message) == (
        JobStatus.FAILED,
        "rain",
        "It rains.",
    )
    assert statuses(job) == [StepStatus.UNDONE, StepStatus.UNDONE, StepStatus.FAILED]
    assert not EntityLock.objects.exists()


def test_an_undo_is_tried_until_it_succeeds_and_the_job_says_what_is_left():
    external_system.replies["wall"] = [Failed("rain", "It rains.")]
    external_system.replies["unwall"] = [Failed("stuck", "It will not come off."), Wait(1, "Pulling.")]
    job = submitted()

    engine.advance(job.pk)
    undoing = fresh(job)
    assert (undoing.status, undoing.owner) == (JobStatus.UNDOING, "")
    assert Step.objects.get(job=job, name="wall").message == "It will not come off."
    for _ in range(2):
        due_now(job)
        engine.advance(job.pk)

    assert external_system.calls == [
        "lay",
        "wall",
        "unwall",
        "unwall*",
        "unwall*",
        "unlay",
        "failed:failed:rain",
    ]
    assert fresh(job).status == JobStatus.FAILED


def test_an_undo_goes_on_after_a_crash():
    external_system.replies["roof"] = [Failed("rain", "It rains.")]
    external_system.replies["unlay"] = [killed]
    job = submitted()
    with pytest.raises(Killed):
        engine.advance(job.pk)

    its_worker_died(job)
    engine.advance(job.pk)

    assert external_system.calls == ["lay", "wall", "roof", "unwall", "unlay", "unlay*", "failed:failed:rain"]
    assert fresh(job).status == JobStatus.FAILED


def test_a_bug_of_ours_is_errored_and_keeps_its_traceback():
    external_system.replies["wall"] = [KeyError("bricks")]
    job = submitted()

    engine.advance(job.pk)

    ended = fresh(job)
    assert (ended.status, ended.outcome_code) == (JobStatus.ERRORED, "internal_error")
    assert "bricks" in ended.traceback
    assert "bricks" not in ended.outcome_message
    assert external_system.calls == ["lay", "wall", "unwall", "unlay", "failed:errored:internal_error"]


def test_a_cancel_before_the_start_leaves_nothing_to_undo():
    job = submitted()

    assert engine.cancel(fresh(job))
    engine.advance(job.pk)

    assert external_system.calls == ["failed:cancelled:cancelled"]
    assert fresh(job).status == JobStatus.CANCELLED
    assert statuses(job) == [StepStatus.SKIPPED] * 3
    assert not EntityLock.objects.exists()


def test_a_cancel_takes_effect_at_the_next_step_and_undoes():
    external_system.replies["lay"] = [
        lambda command: engine.cancel(Job.objects.get(pk=command.job.pk)) and None
    ]
    job = submitted()

    engine.advance(job.pk)

    assert external_system.calls == ["lay", "unlay", "failed:cancelled:cancelled"]
    assert fresh(job).status == JobStatus.CANCELLED
    assert not engine.cancel(fresh(job))


def test_a_cancel_during_a_wait_is_heard_at_once():
    external_system.replies["wall"] = [Wait(3000)]
    job = submitted()
    engine.advance(job.pk)

    engine.cancel(fresh(job))
    engine.advance(job.pk)

    assert external_system.calls == ["lay", "wall", "unwall", "unlay", "failed:cancelled:cancelled"]


def test_a_cancel_during_a_step_that_then_waits_is_heard_without_waiting():
    def cancelled_meanwhile(command):
        engine.cancel(Job.objects.get(pk=command.job.pk))
        return Wait(3000)

    external_system.replies["wall"] = [cancelled_meanwhile]
    job = submitted()

    engine.advance(job.pk)
    engine.advance(job.pk)

    assert external_system.calls == ["lay", "wall", "unwall", "unlay", "failed:cancelled:cancelled"]


def test_a_move_that_is_not_legal_is_refused():
    """Every move is compared with the table of legal ones, besides the owner."""
    job = submitted()
    claim = Claim(job, Lease(job_row(job.pk), "somebody"), [], BuildHouseCommand())
    Job.objects.filter(pk=job.pk).update(owner="somebody")

    with pytest.raises(FencedError):
        claim.write(status=JobStatus.WAITING)  # from queued
    assert fresh(job).status == JobStatus.QUEUED


def test_a_step_past_its_deadline_fails_with_its_last_word():
    external_system.replies["wall"] = [Wait(1, "still wet"), Wait(1, "still wet")]
    job = submitted()
    engine.advance(job.pk)
    Step.objects.filter(job=job, name="wall").update(deadline=timezone.now() - timedelta(seconds=1))
    due_now(job)

    engine.advance(job.pk)

    assert fresh(job).outcome_code == "timeout"
    assert "still wet" in fresh(job).outcome_message
    assert external_system.calls[-1] == "failed:failed:timeout"


def test_a_job_past_its_deadline_fails():
    job = submitted()
    Job.objects.filter(pk=job.pk).update(deadline=timezone.now() - timedelta(seconds=1))

    engine.advance(job.pk)

    assert (fresh(job).status, fresh(job).outcome_code) == (JobStatus.FAILED, "deadline")


def test_an_effect_that_no_record_speaks_of_is_told_to_the_undo():
    """A worker dies in a step and the job is cancelled before anybody looks: the effect may be out there."""
    told = []
    external_system.replies["lay"] = [killed]
    external_system.replies["unlay"] = [lambda command: told.append(command.data.get("unrecorded"))]
    job = submitted()
    with pytest.raises(Killed):
        engine.advance(job.pk)
    its_worker_died(job)
    engine.cancel(fresh(job))

    engine.advance(job.pk)

    assert told == ["lay"]


def out_of_time(job):
    past = timezone.now() - timedelta(seconds=1)
    Step.objects.filter(job=job).exclude(deadline=None).update(deadline=past)
    due_now(job)


def test_a_step_that_waits_is_run_once_more_before_it_is_undone_for_being_late():
    external_system.replies["wall"] = [Wait(3600, "The cloud asks us to come back in an hour.")]
    job = submitted()
    engine.advance(job.pk)
    out_of_time(job)

    engine.advance(job.pk)

    assert fresh(job).status == JobStatus.SUCCEEDED
    assert external_system.calls == ["lay", "wall", "wall*", "roof", "succeeded"]


@pytest.mark.parametrize("last", [Wait(1, "still"), ValueError("a bug")], ids=repr)
def test_a_late_step_that_does_not_hold_by_then_is_undone(last):
    external_system.replies["wall"] = [Wait(3600, "later"), last]
    job = submitted()
    engine.advance(job.pk)
    out_of_time(job)

    engine.advance(job.pk)

    ended = fresh(job)
    assert (ended.status, ended.outcome_code) == (JobStatus.FAILED, "timeout")
    assert external_system.calls[:4] == ["lay", "wall", "wall*", "unwall"]
