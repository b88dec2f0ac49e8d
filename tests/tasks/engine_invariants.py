"""The invariants of the engine: what must hold for the rows of jobs at any time, and when all jobs have ended.

A trigger records every change of a status in the table `observed_move`, so that changes within one transaction are
checked, too.
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from django.db import connection
from django.utils import timezone

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
    Step,
    StepStatus,
)

from .ledger import UNDO_OF, effect_ledger

# The allowed transitions of a step. The engine has no such table, but readers of its rows rely on this one.
STEP_MOVES: dict[str, set[str]] = {
    "pending": {"succeeded", "waiting", "failed", "skipped"},
    "waiting": {"succeeded", "failed"},
    "succeeded": {"undoing", "undone"},
    "failed": {"undoing", "undone"},
    "undoing": {"undone", "failed"},
    "undone": set(),
    "skipped": set(),
}

RECORD_MOVES = """
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
STOP_RECORDING_MOVES = """
DROP TRIGGER IF EXISTS observe ON tasks_job; DROP TRIGGER IF EXISTS observe ON tasks_step;
DROP FUNCTION IF EXISTS observe_job; DROP FUNCTION IF EXISTS observe_step; DROP TABLE IF EXISTS observed_move;
"""


class EngineInvariants:
    """Checks of the database, for a driver of the engine."""

    # True after the driver has let a deadline pass.
    late: bool = False

    def jobs(self) -> list[Job]:
        """Return all jobs in the order of their creation."""
        return list(Job.objects.order_by("created_at", "position"))

    def state(self) -> list[str]:
        return [
            f"{job.subject}:{job.status} owner={job.owner[-4:]} held={job.held} open={job.children_open}"
            f" due={(job.not_before - timezone.now()).total_seconds():.0f}"
            + "".join(f" {step.name}={step.status}" for step in job.steps.order_by("position"))
            for job in self.jobs()
        ]

    def check(self) -> None:
        """Check the invariants that hold between any two calls of the engine."""
        assert not effect_ledger.faults, effect_ledger.faults
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
        self.check_due_times(jobs)

    def check_moves(self) -> None:
        """Check that every recorded change of a status was allowed, also those within one call."""
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
        """Check that an entity is locked exactly until the root of its job has ended."""
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
        """Check that no more children run than `at_once`, and that a held child has a sibling to wait for."""
        at_once = {(step.job_id, step.name): step.at_once for step in Step.objects.filter(children__gt=0)}
        unended = [job for job in jobs.values() if job.parent_id and job.status not in ENDED]
        for brood, most in at_once.items():
            of_it = [job for job in unended if (job.parent_id, job.parent_step) == brood]
            free = [job for job in of_it if not job.held]
            assert len(free) <= most or self.late or any(job.cancel_requested_at for job in free), (
                "too many run"
            )
            assert free or not of_it, "all that are left are held back"

    def check_due_times(self, jobs: dict[UUID, Job]) -> None:
        """Check that no job waits although it was cancelled, and that none waits beyond its deadline."""
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
        """Check that everything has ended, nothing is locked or owned, and each effect exists once or not at all."""
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
                    assert effect_ledger.present[job.pk, name] == 1, (
                        f"{name} of {job.subject}: {effect_ledger.present[job.pk, name]}"
                    )
            elif not by_staff:
                left = [name for name in UNDO_OF if effect_ledger.present[job.pk, name]]
                assert not left, f"{left} of {job.subject} is left over ({job.status} {job.outcome_code})"
                for child in jobs.values():
                    assert (
                        child.parent_id != job.pk
                        or child.status != JobStatus.SUCCEEDED
                        or child.permanent
                        or child.kind == "ledger.batch"
                    ), f"{child.subject} was not taken back"
            if not by_staff:
                # A child that is undone later has its hook called a second time.
                twice = job.outcome_code == "undone"
                assert told[job.pk] == 1 + twice, (job.subject, told[job.pk])
