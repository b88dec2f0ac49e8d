"""A worker inside the test that can be killed at each of the engine's crash points, and that never waits.

A death leaves what `kill -9` would leave: the job has an owner, its lease runs, and nothing is recorded since the last
commit. The times in the database are moved into the past instead of waited for, so a lease is over at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tasks import crash_points, dispatch, engine, polling
from tasks.command import command_class
from tasks.models import IN_FLIGHT, AsyncTask, EntityLock, Job, JobStatus, PollScope, Step

ROUNDS = 80


class Killed(BaseException):
    """The death of the worker, as by SIGKILL. A `BaseException`, so that no handler of the portal catches it."""


class Worker:
    """Advances jobs and polls until nothing is left to do, and dies where it is told to."""

    def __init__(self) -> None:
        # How often each place was passed: crash point, kind of job, step. The last two are empty without a job.
        self.passed: Counter[tuple[str, str, str]] = Counter()
        self.armed: tuple[tuple[str, str, str], int] | None = None
        self.on_point: Callable[[str, str, str], None] | None = None
        self.deaths = 0
        self._job_id: Any = None

    def die_at(self, place: tuple[str, str, str], passes: int = 0) -> None:
        """Die once at a place, after it was passed this many times."""
        self.armed = (place, passes)

    def pass_point(self, name: str) -> None:
        """Stand in for the engine's `crash_point`."""
        assert not connection.in_atomic_block, f"{name} was passed inside a transaction"
        kind, step = self._get_job_and_step()
        place = (name, kind, step)
        self.passed[place] += 1
        if self.on_point is not None:
            self.on_point(*place)
        if self.armed is not None and self.armed[0] == place:
            if self.armed[1] > 0:
                self.armed = (place, self.armed[1] - 1)
                return
            self.armed = None
            raise Killed

    def _get_job_and_step(self) -> tuple[str, str]:
        """Return the kind of the current job and its current step, with `undo` before it while the job is undone."""
        # In one query, because a place is passed a thousand times in a story.
        steps = (
            list(
                Step.objects.filter(job=self._job_id)
                .order_by("position")
                .values_list("job__kind", "job__status", "name", "status", "children")
            )
            if self._job_id
            else []
        )
        if not steps:
            return "", ""
        kind, job_status = steps[0][:2]
        if job_status == JobStatus.UNDOING:
            undoable = {step.name for step in command_class(kind).steps if step.undo_run is not None}
            undoable |= {name for *_, name, _status, children in steps if children > 0}
            began = {"succeeded", "failed", "undoing"}
            undone = [name for *_, name, status, _ in reversed(steps) if status in began and name in undoable]
            return kind, f"undo {undone[0]}" if undone else "undo"
        return kind, next(
            (name for *_, name, status, _ in steps if status not in {"succeeded", "skipped"}), ""
        )

    def call(self, action: Callable[..., Any], *args: Any, job_id: Any = None) -> None:
        """Call a function that may raise `Killed`, and end the leases of the dead worker."""
        self._job_id = job_id
        try:
            action(*args)
        except Killed:
            self.deaths += 1
            past = timezone.now() - timedelta(seconds=1)
            Job.objects.exclude(owner="").update(lease_until=past)
            PollScope.objects.filter(owner__gt="").update(lease_until=past)
            # A killed process runs no `finally`, so it stays the owner of its scope until the lease is over.
            if not PollScope.objects.filter(owner__gt="").exists() and action is polling.poll:
                PollScope.objects.filter(watcher=args[0], scope=args[1]).update(
                    owner="dead", lease_until=past
                )
        finally:
            self._job_id = None

    def run_round(self) -> None:
        """Advance every job in flight and poll every scope once, as if each were due."""
        now = timezone.now()
        Job.objects.filter(status__in=IN_FLIGHT, owner="", held=False).update(not_before=now)
        PollScope.objects.filter(owner="").update(lease_until=None)
        AsyncTask.objects.filter(verdict="open").update(next_look_at=now)
        in_flight = Job.objects.filter(status__in=IN_FLIGHT).order_by("created_at", "position")
        for job_id in list(in_flight.values_list("pk", flat=True)):
            self.call(engine.advance, job_id, job_id=job_id)
        watched = (
            AsyncTask.objects.filter(verdict="open").order_by().values_list("watcher", "scope").distinct()
        )
        for watcher, scope in list(watched):
            self.call(polling.poll, watcher, scope)

    def run_rounds(self, count: int) -> None:
        """Run this many rounds, or fewer if every job has ended."""
        for _ in range(count):
            if not Job.objects.filter(status__in=IN_FLIGHT).exists():
                return
            self.run_round()

    def work(self) -> None:
        """Work until every job has ended, or for so many rounds that the rest will not end."""
        self.run_rounds(ROUNDS)

    def settle(self) -> None:
        """Work until every job has ended. Fails the test if one does not end."""
        self.work()
        left = Job.objects.filter(status__in=IN_FLIGHT)
        assert not left.exists(), [
            (
                job.kind,
                job.status,
                job.outcome_message,
                list(job.steps.values_list("name", "status", "message")),
            )
            for job in left
        ]


@contextmanager
def killable_worker() -> Iterator[Worker]:
    """Give a worker that passes the engine's crash points. No Celery message is sent: the rows must be enough."""
    with pytest.MonkeyPatch.context() as patch:
        worker = Worker()
        patch.setattr(crash_points, "crash_point", worker.pass_point)
        patch.setattr(dispatch, "_send", lambda *args: None)
        yield worker


def delete_jobs() -> None:
    """Delete every job, so that the next story begins without any. All must have ended."""
    assert not Job.objects.filter(status__in=IN_FLIGHT).exists()
    EntityLock.objects.all().delete()
    Job.objects.filter(parent=None).delete()
