"""A worker inside the test, which may be killed at any of the engine's crash points, and for which time passes at once.

What `kill -9` would leave is left: the job owned, its lease to run out, nothing recorded since the last commit.
Its next look comes when the lease is over, which is at once here: every time in the database is moved instead of waited
for.
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
from tasks.models import IN_FLIGHT, AsyncTask, EntityLock, Job, JobStatus, PollScope

ROUNDS = 80


class Killed(BaseException):
    """As if by kill -9: no handler of the portal may see it."""


class Worker:
    """Moves jobs on, and polls, until nothing is left to do; dies where it is told to."""

    def __init__(self) -> None:
        # (crash point, kind of job, step) -> how often it was passed. A point that knows no job has "" for both.
        self.passed: Counter[tuple[str, str, str]] = Counter()
        self.armed: tuple[tuple[str, str, str], int] | None = None
        self.at_point: Callable[[str, str, str], None] | None = None
        self.deaths = 0
        self._job_id: Any = None

    def die_at(self, place: tuple[str, str, str], passes: int = 0) -> None:
        """Die once, at a later pass of a place."""
        self.armed = (place, passes)

    def pass_point(self, name: str) -> None:
        """What stands where the engine has its crash points."""
        assert not connection.in_atomic_block, f"{name} was passed inside a transaction"
        kind, step = self._whereabouts()
        place = (name, kind, step)
        self.passed[place] += 1
        if self.at_point is not None:
            self.at_point(*place)
        if self.armed is not None and self.armed[0] == place:
            if self.armed[1] > 0:
                self.armed = (place, self.armed[1] - 1)
                return
            self.armed = None
            raise Killed

    def _whereabouts(self) -> tuple[str, str]:
        """The kind of the job in hand and the step that it is at; of one on its way back, with `undo` before it."""
        job = Job.objects.filter(pk=self._job_id).first() if self._job_id else None
        if job is None:
            return "", ""
        statuses = list(job.steps.order_by("position").values_list("name", "status"))
        if job.status == JobStatus.UNDOING:
            undoable = {step.name for step in command_class(job.kind).steps if step.undo_run is not None}
            undoable |= set(job.steps.filter(children__gt=0).values_list("name", flat=True))
            began = {"succeeded", "failed", "undoing"}
            back = [name for name, status in reversed(statuses) if status in began and name in undoable]
            return job.kind, f"undo {back[0]}" if back else "undo"
        return job.kind, next((name for name, status in statuses if status != "succeeded"), "")

    def do(self, action: Callable[..., Any], *args: Any, job_id: Any = None) -> None:
        """Run something that may die on the way."""
        self._job_id = job_id
        try:
            action(*args)
        except Killed:
            self.deaths += 1
            past = timezone.now() - timedelta(seconds=1)
            Job.objects.exclude(owner="").update(lease_until=past)
            PollScope.objects.filter(owner__gt="").update(lease_until=past)
            # A killed process runs no `finally`: its claim on a scope stands until its lease is over.
            if not PollScope.objects.filter(owner__gt="").exists() and action is polling.poll:
                PollScope.objects.filter(watcher=args[0], scope=args[1]).update(
                    owner="dead", lease_until=past
                )
        finally:
            self._job_id = None

    def round(self) -> None:
        """Everything that is in flight is looked at once, as if its time had come."""
        now = timezone.now()
        Job.objects.filter(status__in=IN_FLIGHT, owner="", held=False).update(not_before=now)
        PollScope.objects.filter(owner="").update(lease_until=None)
        AsyncTask.objects.filter(verdict="open").update(next_look_at=now)
        in_flight = Job.objects.filter(status__in=IN_FLIGHT).order_by("created_at", "position")
        for job_id in list(in_flight.values_list("pk", flat=True)):
            self.do(engine.advance, job_id, job_id=job_id)
        watched = (
            AsyncTask.objects.filter(verdict="open").order_by().values_list("watcher", "scope").distinct()
        )
        for watcher, scope in list(watched):
            self.do(polling.poll, watcher, scope)

    def rounds(self, count: int) -> None:
        """So many rounds; less when everything has ended."""
        for _ in range(count):
            if not Job.objects.filter(status__in=IN_FLIGHT).exists():
                return
            self.round()

    def work(self) -> None:
        """Work until every job has ended, or until it is plain that something is in its way."""
        self.rounds(ROUNDS)

    def settle(self) -> None:
        """Work until every job has ended. Fails the test when that does not come about."""
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
def worker() -> Iterator[Worker]:
    """A worker whose crash points are the engine's, and whose rings nobody hears: the rows must be enough."""
    with pytest.MonkeyPatch.context() as patch:
        one = Worker()
        patch.setattr(crash_points, "crash_point", one.pass_point)
        patch.setattr(dispatch, "_send", lambda *args: None)
        yield one


def forget_jobs() -> None:
    """Remove every ended job, so that the next story is told from the beginning."""
    assert not Job.objects.filter(status__in=IN_FLIGHT).exists()
    EntityLock.objects.all().delete()
    Job.objects.filter(parent=None).delete()
