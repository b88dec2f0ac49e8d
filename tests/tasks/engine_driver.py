"""A driver of the engine: it delivers messages, kills and suspends workers, and lets time pass.

All of it runs in one thread against the real database, so that a run can be repeated exactly:
a killed worker raises `Killed` at a named crash point, and leaves the rows that a SIGKILL would leave;
a worker that oversleeps its lease lets another worker run the job in the middle of its own step;
messages stay in a list until they are delivered, delivered twice, or lost;
and time passes by moving every time in the database back.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from api.domain_errors import DomainError
from tasks import crash_points, dispatch, engine, polling
from tasks.models import (
    ENDED,
    IN_FLIGHT,
    AsyncTask,
    EntityLock,
    Job,
    JobLogLine,
    JobStatus,
    PollScope,
    Step,
)
from tasks.services import decide_job
from tenants.scoping import Role, Scope
from tests.factories import UserFactory

from .engine_invariants import RECORD_MOVES, STOP_RECORDING_MOVES, EngineInvariants
from .ledger import BrokenHook, Plan, Planned, effect_ledger

# One round is longer than a lease, the sweep's `OVERDUE` and the longest pause between two polls. All rounds together are
# shorter than an hour, so that the engine's hourly fallback (`CHECK_AGAIN_AFTER`) cannot hide a lost wake-up.
ROUND = timedelta(seconds=65)
ROUNDS = 45


class Killed(BaseException):
    """The death of a worker, as by SIGKILL: no handler of the engine catches it."""


@dataclass
class Armed:
    """An event that happens at a later pass of a crash point."""

    point: str
    passes: int
    event: str


@dataclass
class AdvanceFrame:
    """A worker inside `advance`. `state_after_takeover` is the job's state after another worker had claimed it."""

    job_id: UUID
    state_after_takeover: Any = None


@dataclass
class Message:
    """A message that the engine has sent; the broker would deliver it in `seconds`."""

    task: str
    args: tuple[str, ...]
    seconds: float


class Driver(EngineInvariants):
    """Everything that happens to the engine: submissions, messages, cancels, decisions, deaths and the passing of time."""

    def __init__(self, staff: Scope) -> None:
        self.staff = staff
        self.numbers = itertools.count()
        self.messages: list[Message] = []
        self.armed: Armed | None = None
        self.frames: list[AdvanceFrame] = []
        self.deaths = self.takeovers = 0
        self.passed: Counter[str] = Counter()
        self.scopes_before_death: list[dict[str, Any]] | None = None
        self.late = False
        effect_ledger.clear()
        effect_ledger.happen = self.happen

    # --- What can happen ---

    def do(self, action: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run an action that may be killed, or whose command may raise in its hook."""
        try:
            return action(*args, **options)
        except Killed:
            self.deaths += 1
            # A killed process runs no `finally`, so the lease of its scope is restored.
            for scope in self.scopes_before_death or ():
                PollScope.objects.filter(pk=scope["id"]).update(
                    owner=scope["owner"], lease_until=scope["lease_until"]
                )
            self.scopes_before_death = None
        except BrokenHook:
            pass
        return None

    def submit(self, plan: Plan) -> Job | None:
        """Submit a plan's command; return None when it is refused, or when the process dies after the commit."""
        return self.do(self.submit_command, effect_ledger.add_plan(f"plan{next(self.numbers)}", plan))

    def submit_command(self, command: Planned) -> Job | None:
        try:
            with transaction.atomic():
                return engine.submit(command).job
        except DomainError:
            return None

    def advance(self, job_id: UUID) -> None:
        frame = AdvanceFrame(job_id)
        self.frames.append(frame)
        try:
            self.do(engine.advance, job_id)
        finally:
            self.frames.pop()
        if frame.state_after_takeover is not None and frame.state_after_takeover != self.snapshot(job_id):
            effect_ledger.faults.append("a worker that came too late wrote something")

    def snapshot(self, job_id: UUID) -> Any:
        """Return all rows that a worker of a job can write."""
        rows = [
            Job.objects.filter(pk=job_id).values(),
            Job.objects.filter(parent=job_id).order_by("created_at", "position").values(),
            Step.objects.filter(job=job_id).order_by("position").values(),
            AsyncTask.objects.filter(job=job_id).order_by("pk").values(),
            EntityLock.objects.order_by("key").values(),
            JobLogLine.objects.filter(job=job_id).order_by("pk").values(),
        ]
        return [list(of_one) for of_one in rows]

    def poll(self) -> None:
        """Poll all watches, as if they were due."""
        AsyncTask.objects.update(next_look_at=timezone.now() - timedelta(seconds=1))
        self.do(polling.poll, "thing", "garden")

    def cancel(self, job: Job) -> None:
        self.do(engine.cancel, job)

    def decide(self, job: Job, decision: str, *, undo: bool = False) -> Job | None:
        try:
            return self.do(
                decide_job, scope=self.staff, job_id=job.pk, decision=decision, reason="So be it.", undo=undo
            )
        except DomainError:
            return None

    def deliver(self, message: Message) -> None:
        if message.task == "tasks.advance":
            self.advance(UUID(message.args[0]))
        else:
            self.do(polling.poll, *message.args)

    def deliver_all(self) -> None:
        """Deliver the due messages, and those that are sent meanwhile, up to a limit."""
        for _ in range(400):
            due = next((message for message in self.messages if message.seconds <= 0), None)
            if due is None:
                return
            self.messages.remove(due)
            self.deliver(due)
        raise AssertionError(f"The engine sends messages without end: {self.messages[:3]}")

    def sweep(self) -> None:
        self.do(engine.sweep)

    def pass_time(self, time: timedelta) -> None:
        """Let time pass, by moving every time in the database back."""
        for message in self.messages:
            message.seconds -= time.total_seconds()
        with connection.cursor() as cursor:
            for table, columns in {
                "tasks_job": ("not_before", "lease_until", "deadline", "rung_at", "started_at"),
                "tasks_step": ("deadline",),
                "tasks_asynctask": ("next_look_at", "expires_at"),
                "tasks_pollscope": ("lease_until", "rung_for"),
            }.items():
                moved = ", ".join(f"{column} = {column} - %(time)s" for column in columns)
                cursor.execute(f"UPDATE {table} SET {moved}", {"time": time})

    def end_leases(self, job_id: UUID | None = None) -> None:
        """Let the lease of the job, or of all jobs and scopes, run out."""
        past = timezone.now() - timedelta(seconds=1)
        owned = Job.objects.exclude(owner="")
        (owned.filter(pk=job_id) if job_id else owned).update(lease_until=past)
        if job_id is None:
            PollScope.objects.exclude(owner="").update(lease_until=past)

    def pass_deadlines(self, job: Job) -> None:
        """Let the deadlines of a job and of its current step pass, and make the job due."""
        self.late = True
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.filter(pk=job.pk).exclude(status__in=ENDED).update(deadline=past)
        Step.objects.filter(job=job, deadline__isnull=False).update(deadline=past)
        AsyncTask.objects.filter(job=job, verdict="open").update(expires_at=past)
        Job.objects.filter(pk=job.pk, held=False, status__in=IN_FLIGHT, not_before__gt=past).update(
            not_before=past
        )

    # --- What happens in the middle of something else ---

    def happen(self, event: str, job_id: UUID) -> None:
        """Run an event while a worker is inside a step of a job."""
        if event == "die":
            raise Killed
        if event == "oversleep":
            self.oversleep(job_id)
        elif event == "cancel":
            self.cancel(Job.objects.get(pk=Job.objects.get(pk=job_id).root_id))
        elif event == "late":
            self.pass_deadlines(Job.objects.get(pk=job_id))
        elif event == "poll":
            self.poll()
        elif event == "other":
            self.redeliver(job_id)
        for frame in self.frames:
            # The event's own changes do not count as writes of the worker that lost its lease.
            if frame.state_after_takeover is not None:
                frame.state_after_takeover = self.snapshot(frame.job_id)

    def redeliver(self, job_id: UUID) -> None:
        """Deliver a message twice: another worker tries the job, and must not change it while the lease is valid."""
        job = Job.objects.get(pk=job_id)
        taken = job.owner and job.lease_until and job.lease_until > timezone.now()
        before = self.snapshot(job_id)
        self.advance(job_id)
        if taken and self.snapshot(job_id) != before:
            effect_ledger.faults.append("a job was claimed although the lease of its owner was valid")

    def oversleep(self, job_id: UUID) -> None:
        """Let the lease of the current worker run out, and let another worker run the job meanwhile."""
        frame = self.frames[-1] if self.frames else None
        if frame is None or frame.job_id != job_id or frame.state_after_takeover is not None:
            return
        owner = Job.objects.values_list("owner", flat=True).get(pk=job_id)
        self.end_leases(job_id)
        self.advance(job_id)
        if Job.objects.values_list("owner", flat=True).get(pk=job_id) != owner:
            frame.state_after_takeover = self.snapshot(job_id)
            self.takeovers += 1

    def record_crash_point(self, name: str) -> None:
        """Replace `crash_points.crash_point`: count the pass, and run the armed event."""
        if connection.in_atomic_block:
            effect_ledger.faults.append(f"{name} was passed inside a transaction")
        self.passed[name] += 1
        if self.armed is None or self.armed.point != name:
            return
        self.armed.passes -= 1
        if self.armed.passes >= 0:
            return
        event, self.armed = self.armed.event, None
        if event == "die":
            if name.startswith("poll"):
                self.scopes_before_death = list(PollScope.objects.values())
            raise Killed
        if event == "oversleep" and name.startswith("poll"):
            self.end_leases()
            self.poll()
        elif event == "oversleep" and name != "called":
            # Between the claim and the call, or between two steps, no write checks the lease: a suspended worker would
            # call its step as if it still owned the job. Only the step's check of its effect covers this.
            return
        elif self.frames:
            self.happen(event, self.frames[-1].job_id)
        else:
            roots = Job.objects.filter(parent=None).exclude(status__in=ENDED).order_by("created_at")
            if root := roots.first():
                self.happen(event, root.pk)

    # --- Until nothing is left to do ---

    def recover(self) -> None:
        """Let time pass and deliver messages until nothing changes any more. Jobs may still wait for staff or for watches."""
        before = None
        for _ in range(ROUNDS):
            self.messages.clear()  # The broker loses all messages: the rows must be enough.
            self.pass_time(ROUND)
            self.sweep()
            self.deliver_all()
            self.check()
            # A worker that died in this round may have had work to do.
            before, last = (self.signature(), self.deaths), before
            if last == before:
                return
        raise AssertionError(f"The jobs do not come to rest: {self.state()}")

    def signature(self) -> Any:
        return (
            list(Job.objects.order_by("pk").values_list("pk", "status", "owner", "held", "children_open")),
            list(Step.objects.order_by("pk").values_list("pk", "status", "tries")),
            list(AsyncTask.objects.order_by("pk").values_list("pk", "verdict")),
        )

    def settle(self, decisions: Callable[[Job], tuple[str, bool]] = lambda job: ("resume", False)) -> None:
        """Let all steps succeed and staff decide, and check that everything ends within a bounded number of rounds."""
        self.armed = None
        for _ in range(ROUNDS):
            if not Job.objects.exclude(status__in=ENDED).exists():
                break
            effect_ledger.quiet()
            self.messages.clear()
            for job in Job.objects.filter(status=JobStatus.STUCK).order_by("created_at", "position"):
                decision, taken_back = decisions(job)
                if self.decide(job, decision, undo=taken_back) is None:
                    self.decide(job, "resume")
            self.pass_time(ROUND)
            self.sweep()
            self.deliver_all()
            self.check()
        self.check()
        self.check_end()


# --- For the tests -----------------------------------------------------------------------------------------


class EngineHarness:
    """A factory of drivers, which empties the tables of the engine before each."""

    def __init__(self) -> None:
        self.staff = Scope(UserFactory(is_staff=True, is_superuser=True), None, Role.ADMIN)
        self.driver = Driver(self.staff)

    def new_driver(self) -> Driver:
        with connection.cursor() as cursor:
            # For a few rows, much faster than TRUNCATE.
            for table in ("entitylock", "asynctask", "joblogline", "step", "job", "pollscope"):
                cursor.execute(f"DELETE FROM tasks_{table}")
            cursor.execute("DELETE FROM observed_move")
        self.driver = Driver(self.staff)
        return self.driver

    def record_crash_point(self, name: str) -> None:
        self.driver.record_crash_point(name)

    def send(self, task: str, calls: Sequence[tuple[str, ...]], after: float, *_which_queue: Any) -> None:
        self.driver.messages.extend(Message(task, args, after) for args in calls)


@contextmanager
def engine_harness() -> Iterator[EngineHarness]:
    """Replace the engine's crash points and its sending of messages, and record the changes of statuses."""
    with pytest.MonkeyPatch.context() as patch, connection.cursor() as cursor:
        cursor.execute(STOP_RECORDING_MOVES + RECORD_MOVES)
        harness = EngineHarness()
        patch.setattr(crash_points, "crash_point", harness.record_crash_point)
        patch.setattr(dispatch, "_send", harness.send)
        # The engine's log of all examples would hide the failing one.
        logging.disable(logging.CRITICAL)
        try:
            yield harness
        finally:
            logging.disable(logging.NOTSET)
            cursor.execute(STOP_RECORDING_MOVES)
