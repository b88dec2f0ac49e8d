"""A broker, a clock, workers that die or oversleep, and what must hold after every one of their moves.

All of it runs in one thread against the real database, so that a run can be repeated exactly:
a worker that dies raises `Killed` at a named crash point, and leaves what `kill -9` would leave;
one that oversleeps its lease lets another worker do the job in the middle of its own step;
messages stay in a list until somebody delivers them, doubles them, or loses them;
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
from tasks.command import command_class
from tasks.models import (
    ENDED,
    IN_FLIGHT,
    MOVES,
    AsyncTask,
    EntityLock,
    Job,
    JobLogLine,
    JobStatus,
    PollScope,
    Step,
    StepStatus,
)
from tasks.services import decide_job
from tenants.scoping import Role, Scope
from tests.factories import UserFactory

from .ledger import UNDO_OF, BrokenHook, Plan, Planned, book

# One round of settling is longer than a lease, the sweep's patience and the longest pause between two looks, and
# all rounds together are shorter than an hour: what only the engine's hourly second look would find counts as lost.
ROUND = timedelta(seconds=65)
ROUNDS = 45

# What a step may become, by what it was. The engine has no such table, but its readers rely on this one.
STEP_MOVES: dict[str, set[str]] = {
    "pending": {"succeeded", "waiting", "failed", "skipped"},
    "waiting": {"succeeded", "failed"},
    "succeeded": {"undoing", "undone"},
    "failed": {"undoing", "undone"},
    "undoing": {"undone", "failed"},
    "undone": set(),
    "skipped": set(),
}


class Killed(BaseException):
    """As if by kill -9: no handler of the engine may see it."""


@dataclass
class Armed:
    """What happens at a later pass of a crash point."""

    point: str
    passes: int
    event: str


@dataclass
class Frame:
    """A worker inside `advance`; `left_as` is how the job was when another had taken it over."""

    job_id: UUID
    left_as: Any = None


@dataclass
class Message:
    """What the engine has sent; `seconds` are left until the broker would deliver it."""

    task: str
    args: tuple[str, ...]
    seconds: float


class Driver:
    """Everything that happens to the engine from outside."""

    def __init__(self, staff: Scope) -> None:
        self.staff = staff
        self.numbers = itertools.count()
        self.messages: list[Message] = []
        self.armed: Armed | None = None
        self.frames: list[Frame] = []
        self.deaths = self.overslept = 0
        self.passed: Counter[str] = Counter()
        self.left_by_the_dead: list[dict[str, Any]] | None = None
        self.late = False
        book.clear()
        book.happen = self.happen

    # --- What can happen ---

    def do(self, action: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run something that may die on the way, or whose command has a broken last word."""
        try:
            return action(*args, **options)
        except Killed:
            self.deaths += 1
            # A killed process runs no `finally`: what its scope's claim was, it still is.
            for scope in self.left_by_the_dead or ():
                PollScope.objects.filter(pk=scope["id"]).update(
                    owner=scope["owner"], lease_until=scope["lease_until"]
                )
            self.left_by_the_dead = None
        except BrokenHook:
            pass
        return None

    def submit(self, plan: Plan) -> Job | None:
        """Record a plan's command; None when it is refused, or when its requester dies after the commit."""
        return self.do(self.ask_for, book.write_down(f"plan{next(self.numbers)}", plan))

    def ask_for(self, command: Planned) -> Job | None:
        try:
            with transaction.atomic():
                return engine.submit(command).job
        except DomainError:
            return None

    def jobs(self) -> list[Job]:
        """Every job, in the order of their birth."""
        return list(Job.objects.order_by("created_at", "position"))

    def advance(self, job_id: UUID) -> None:
        frame = Frame(job_id)
        self.frames.append(frame)
        try:
            self.do(engine.advance, job_id)
        finally:
            self.frames.pop()
        if frame.left_as is not None and frame.left_as != self.picture(job_id):
            book.faults.append("a worker that came too late wrote something")

    def picture(self, job_id: UUID) -> Any:
        """All that a worker of a job could write."""
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
        """Look at all that is watched, as if its time had come."""
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
        """Deliver what is due in the queue, and what comes into it meanwhile, a bounded number of times."""
        for _ in range(400):
            due = next((message for message in self.messages if message.seconds <= 0), None)
            if due is None:
                return
            self.messages.remove(due)
            self.deliver(due)
        raise AssertionError(f"The engine rings without end: {self.messages[:3]}")

    def sweep(self) -> None:
        self.do(engine.sweep)

    def pass_time(self, time: timedelta) -> None:
        """Move every time in the database back: that is what it is to the engine when time passes."""
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
        """Whoever owns the job, or any job, has given no sign of life for a lease."""
        past = timezone.now() - timedelta(seconds=1)
        owned = Job.objects.exclude(owner="")
        (owned.filter(pk=job_id) if job_id else owned).update(lease_until=past)
        if job_id is None:
            PollScope.objects.exclude(owner="").update(lease_until=past)

    def be_late(self, job: Job) -> None:
        """Let the deadlines of a job and of the step that it is at pass; the engine had meant to look by then."""
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
        """Let something happen while a worker is inside a step of a job."""
        if event == "die":
            raise Killed
        if event == "oversleep":
            self.oversleep(job_id)
        elif event == "cancel":
            self.cancel(Job.objects.get(pk=Job.objects.get(pk=job_id).root_id))
        elif event == "late":
            self.be_late(Job.objects.get(pk=job_id))
        elif event == "poll":
            self.poll()
        elif event == "other":
            self.be_rung_for_again(job_id)
        for frame in self.frames:
            # What happens now is not the late worker's doing.
            if frame.left_as is not None:
                frame.left_as = self.picture(frame.job_id)

    def be_rung_for_again(self, job_id: UUID) -> None:
        """A doubled message: another worker tries the job, and finds it taken as long as a lease stands."""
        job = Job.objects.get(pk=job_id)
        taken = job.owner and job.lease_until and job.lease_until > timezone.now()
        before = self.picture(job_id)
        self.advance(job_id)
        if taken and self.picture(job_id) != before:
            book.faults.append("a job whose owner lives was taken from him")

    def oversleep(self, job_id: UUID) -> None:
        """The worker that runs this oversleeps its lease, and another one does the job meanwhile."""
        frame = self.frames[-1] if self.frames else None
        if frame is None or frame.job_id != job_id or frame.left_as is not None:
            return
        owner = Job.objects.values_list("owner", flat=True).get(pk=job_id)
        self.end_leases(job_id)
        self.advance(job_id)
        if Job.objects.values_list("owner", flat=True).get(pk=job_id) != owner:
            frame.left_as = self.picture(job_id)
            self.overslept += 1

    def pass_point(self, name: str) -> None:
        """What stands where the engine has its crash points."""
        if connection.in_atomic_block:
            book.faults.append(f"{name} was passed inside a transaction")
        self.passed[name] += 1
        if self.armed is None or self.armed.point != name:
            return
        self.armed.passes -= 1
        if self.armed.passes >= 0:
            return
        event, self.armed = self.armed.event, None
        if event == "die":
            if name.startswith("poll"):
                self.left_by_the_dead = list(PollScope.objects.values())
            raise Killed
        if event == "oversleep" and name.startswith("poll"):
            self.end_leases()
            self.poll()
        elif event == "oversleep" and name != "called":
            # Between the claim and the call, or between two steps, a lease protects nobody: a worker that sleeps
            # there calls its step as if it still owned the job, and only the step's own look can tell.
            return
        elif self.frames:
            self.happen(event, self.frames[-1].job_id)
        else:
            roots = Job.objects.filter(parent=None).exclude(status__in=ENDED).order_by("created_at")
            if root := roots.first():
                self.happen(event, root.pk)

    # --- Until nothing is left to do ---

    def recover(self) -> None:
        """Let time pass and messages come until nothing moves any more; what waits for people or the outside may."""
        before = None
        for _ in range(ROUNDS):
            self.messages.clear()  # The broker has forgotten everything: the rows must be enough.
            self.pass_time(ROUND)
            self.sweep()
            self.deliver_all()
            self.check()
            # Whoever died in this round may have had something to do.
            before, last = (self.signature(), self.deaths), before
            if last == before:
                return
        raise AssertionError(f"It does not come to rest: {self.state()}")

    def signature(self) -> Any:
        return (
            list(Job.objects.order_by("pk").values_list("pk", "status", "owner", "held", "children_open")),
            list(Step.objects.order_by("pk").values_list("pk", "status", "tries")),
            list(AsyncTask.objects.order_by("pk").values_list("pk", "verdict")),
        )

    def settle(self, decisions: Callable[[Job], tuple[str, bool]] = lambda job: ("resume", False)) -> None:
        """The outside answers well, people decide, and within a bounded number of rounds everything has ended."""
        self.armed = None
        for _ in range(ROUNDS):
            if not Job.objects.exclude(status__in=ENDED).exists():
                break
            book.quiet()
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

    def state(self) -> list[str]:
        return [
            f"{job.subject}:{job.status} owner={job.owner[-4:]} held={job.held} open={job.children_open}"
            f" due={(job.not_before - timezone.now()).total_seconds():.0f}"
            + "".join(f" {step.name}={step.status}" for step in job.steps.order_by("position"))
            for job in self.jobs()
        ]

    # --- What must hold ---

    def check(self) -> None:
        """Everything that holds at any moment between two moves."""
        assert not book.faults, book.faults
        jobs = {job.pk: job for job in self.jobs()}
        self.check_moves()
        open_children: Counter[UUID] = Counter()
        for job in jobs.values():
            assert job.status in JobStatus.values
            if job.parent_id:
                open_children[job.parent_id] += job.status not in ENDED
                assert job.status in ENDED or jobs[job.root_id].status not in ENDED, (
                    "a root ended before a child"
                )
        for job in jobs.values():
            assert job.children_open == open_children[job.pk], (job.subject, job.children_open)
        self.check_locks(jobs)
        self.check_watches(jobs)
        self.check_held(jobs)
        self.check_is_looked_at(jobs)

    def check_moves(self) -> None:
        """Every change of a status that the database has seen, also inside one call, was legal."""
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM observed_move RETURNING n, what, was, became, is_child, root_ended, children_open"
            )
            moves = sorted(cursor.fetchall())
        for _n, what, was, became, is_child, root_ended, children_open in moves:
            if what == "step":
                assert became in STEP_MOVES[was], f"a step went from {was} to {became}"
                continue
            assert became in MOVES[JobStatus(was)], f"a job went from {was} to {became}"
            if was in ENDED:
                assert is_child and not root_ended, "what had ended began again"
            if became in ENDED:
                assert children_open == 0, "a parent ended before its children"

    def check_locks(self, jobs: dict[UUID, Job]) -> None:
        """An entity is busy exactly as long as the root of the job that is about it has not ended."""
        wanted = {}
        for job in jobs.values():
            if jobs[job.root_id].status not in ENDED:
                for key in command_class(job.kind).from_params(job.params).locks():
                    wanted[key] = job.root_id
        assert dict(EntityLock.objects.values_list("key", "job_id")) == wanted

    def check_watches(self, jobs: dict[UUID, Job]) -> None:
        watched = Counter(AsyncTask.objects.filter(verdict="open").values_list("job_id", flat=True))
        for job_id, count in watched.items():
            assert count == 1
            assert jobs[job_id].status in IN_FLIGHT - {JobStatus.QUEUED}, "nobody waits for what is watched"

    def check_held(self, jobs: dict[UUID, Job]) -> None:
        """No more children run at once than were asked for, and one that is held back has one to wait for."""
        at_once = {(step.job_id, step.name): step.at_once for step in Step.objects.filter(children__gt=0)}
        unended = [job for job in jobs.values() if job.parent_id and job.status not in ENDED]
        for brood, most in at_once.items():
            of_it = [job for job in unended if (job.parent_id, job.parent_step) == brood]
            free = [job for job in of_it if not job.held]
            assert len(free) <= most or self.late or any(job.cancel_requested_at for job in free), (
                "too many run"
            )
            assert free or not of_it, "all that are left are held back"

    def check_is_looked_at(self, jobs: dict[UUID, Job]) -> None:
        """A wish to cancel is never slept over, and nobody sleeps past a deadline."""
        now = timezone.now()
        waiting = dict(
            Step.objects.filter(status=StepStatus.WAITING, deadline__isnull=False).values_list(
                "job", "deadline"
            )
        )
        told = {job.pk for job in jobs.values() if job.cancel_requested_at}
        to_be_told = {JobStatus.QUEUED, JobStatus.WAITING, JobStatus.RUNNING}
        not_told = {job.parent_id for job in jobs.values() if job.status in to_be_told and job.pk not in told}
        for job in jobs.values():
            if job.owner or job.status not in {JobStatus.QUEUED, JobStatus.WAITING}:
                continue
            if job.pk in told and (not job.children_open or job.pk in not_told):
                assert job.not_before <= now, f"{job.subject} was cancelled and sleeps on"
            deadline = min(job.deadline, waiting.get(job.pk, job.deadline))
            if job.status == JobStatus.WAITING and deadline > now:
                assert job.not_before <= deadline, f"{job.subject} sleeps past its deadline"

    def check_end(self) -> None:
        """Everything has ended, nothing is left over, and each effect is there once or not at all."""
        jobs = {job.pk: job for job in self.jobs()}
        unended = [
            line for job, line in zip(jobs.values(), self.state(), strict=True) if job.status not in ENDED
        ]
        assert not unended, unended
        assert not EntityLock.objects.exists()
        assert not AsyncTask.objects.filter(verdict="open").exists()
        assert not Job.objects.exclude(owner="").exists()
        told = Counter(JobLogLine.objects.filter(message__startswith="told").values_list("job_id", flat=True))
        for job in jobs.values():
            by_staff = job.outcome_code == "ended_by_staff"
            assert not (job.permanent and job.outcome_code == "undone"), f"{job.subject} was to stay"
            if job.status == JobStatus.SUCCEEDED:
                for name in job.steps.values_list("name", flat=True):
                    assert book.present[job.pk, name] == 1, (
                        f"{name} of {job.subject}: {book.present[job.pk, name]}"
                    )
            elif not by_staff:
                left = [name for name in UNDO_OF if book.present[job.pk, name]]
                assert not left, f"{left} of {job.subject} is left over ({job.status} {job.outcome_code})"
                for child in jobs.values():
                    assert (
                        child.parent_id != job.pk
                        or child.status != JobStatus.SUCCEEDED
                        or child.permanent
                        or child.kind == "ledger.errand"
                    ), f"{child.subject} was not taken back"
            if not by_staff:
                # Taken back, it is told a second time.
                twice = job.outcome_code == "undone"
                assert told[job.pk] == 1 + twice, (job.subject, told[job.pk])


# --- For the tests -----------------------------------------------------------------------------------------

_OBSERVE = """
CREATE TABLE observed_move (
    n bigserial, what text, was text, became text, is_child bool, root_ended bool, children_open int
);
CREATE FUNCTION observe_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO observed_move (what, was, became, is_child, root_ended, children_open) VALUES (
        'job', OLD.status, NEW.status, NEW.parent_id IS NOT NULL,
        (SELECT ended_at IS NOT NULL FROM tasks_job WHERE id = NEW.root_id),
        (SELECT count(*) FROM tasks_job WHERE parent_id = NEW.id AND ended_at IS NULL));
    RETURN NEW;
END $$;
CREATE FUNCTION observe_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO observed_move (what, was, became) VALUES ('step', OLD.status, NEW.status);
    RETURN NEW;
END $$;
CREATE TRIGGER observe AFTER UPDATE ON tasks_job
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION observe_job();
CREATE TRIGGER observe AFTER UPDATE ON tasks_step
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION observe_step();
"""
_STOP_OBSERVING = """
DROP TRIGGER IF EXISTS observe ON tasks_job; DROP TRIGGER IF EXISTS observe ON tasks_step;
DROP FUNCTION IF EXISTS observe_job; DROP FUNCTION IF EXISTS observe_step; DROP TABLE IF EXISTS observed_move;
"""


class Stage:
    """Where drivers come from, one after another, each before an empty database."""

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

    def pass_point(self, name: str) -> None:
        self.driver.pass_point(name)

    def send(self, task: str, calls: Sequence[tuple[str, ...]], after: float, *_which_queue: Any) -> None:
        self.driver.messages.extend(Message(task, args, after) for args in calls)


@contextmanager
def stage() -> Iterator[Stage]:
    """The engine between drivers' hands: its crash points, its messages, and a table of what the database saw."""
    with pytest.MonkeyPatch.context() as patch, connection.cursor() as cursor:
        cursor.execute(_STOP_OBSERVING + _OBSERVE)
        theatre = Stage()
        patch.setattr(crash_points, "crash_point", theatre.pass_point)
        patch.setattr(dispatch, "_send", theatre.send)
        # A story that fails would otherwise be lost among thousands of lines of what the engine says of all of them.
        logging.disable(logging.CRITICAL)
        try:
            yield theatre
        finally:
            logging.disable(logging.NOTSET)
            cursor.execute(_STOP_OBSERVING)
