"""A tree that is cancelled, or whose time is over: it is wound up from below, and nobody waits for nobody."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tasks import engine
from tasks.command import Wait
from tasks.engine.children import cancel_descendants
from tasks.models import EntityLock, Job, JobStatus
from tests.working import work

from . import external_system
from .external_system import BuildVillageCommand
from .test_engine import fresh, submitted
from .test_trees import advance_all, children, overdue, reset_external_system, statuses

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["reset_external_system"]


def test_a_cancel_ends_the_parent_only_after_its_children():
    external_system.replies["raise a"] = [Wait(1000)]
    external_system.replies["tear a"] = [Wait(0)]
    job = submitted(BuildVillageCommand(["a", "b"]))
    for _ in range(2):
        advance_all()

    engine.cancel(fresh(job))
    engine.advance(job.pk)
    assert fresh(job).status == JobStatus.WAITING
    work()

    assert external_system.calls[-3:] == ["a:cancelled:cancelled", "unsurvey", "village:cancelled:cancelled"]
    assert statuses(job) == [JobStatus.CANCELLED] * 2


def test_a_parent_past_its_deadline_winds_its_children_up_first():
    external_system.replies["raise a"] = [Wait(1000)]
    job = submitted(BuildVillageCommand(["a", "b"]))
    for _ in range(2):
        advance_all()

    Job.objects.filter(pk=job.pk).update(deadline=timezone.now() - timedelta(seconds=1))
    overdue(pk=job.pk)
    work()

    assert (fresh(job).status, fresh(job).outcome_code) == (JobStatus.FAILED, "deadline")
    assert statuses(job) == [JobStatus.CANCELLED] * 2


def test_a_child_is_not_cancelled_alone(monkeypatch):
    external_system.replies["raise a"] = [Wait(1000)]
    job = submitted(BuildVillageCommand(["a"]))
    engine.advance(job.pk)

    assert not engine.cancel(children(job)[0])
    assert not fresh(children(job)[0]).can_cancel


def test_cancelling_twice_is_heard_once():
    external_system.replies["raise a"] = [Wait(1000)]
    job = submitted(BuildVillageCommand(["a"]))
    for _ in range(2):
        advance_all()
    engine.cancel(fresh(job))
    with transaction.atomic():
        cancel_descendants(job.pk)
    work()

    assert external_system.calls.count("a:cancelled:cancelled") == 1


def test_children_that_end_during_a_cancel_of_the_tree_do_not_block_it():
    """Real threads: ends lock parent then child, a cancel root then children; in other orders they would deadlock."""
    for round_ in range(5):
        external_system.reset()
        keys = [f"{round_}-{n}" for n in range(6)]
        job = submitted(BuildVillageCommand(keys, at_once=6))
        engine.advance(job.pk)
        together = threading.Barrier(7)
        problems = []

        def run(action, together=together, problems=problems):
            try:
                together.wait(10)
                action()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it.
                problems.append(error)
            finally:
                connection.close()

        actions = [lambda pk=child.pk: engine.advance(pk) for child in children(job)]
        threads = [
            threading.Thread(target=run, args=[action])
            for action in [*actions, lambda job=job: engine.cancel(fresh(job))]
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        work()

        assert not problems
        assert fresh(job).status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}
        assert not EntityLock.objects.exists()
