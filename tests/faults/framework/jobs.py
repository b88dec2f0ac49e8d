"""Queries for jobs and their invariants. Import this module only after Django has been set up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tasks.models import ENDED, IN_FLIGHT, AsyncTask, EntityLock, Job, JobStatus

OPEN_STEPS = ("running", "waiting", "undoing")


def has_jobs_in_flight() -> bool:
    """Return whether any job is in flight."""
    return Job.objects.filter(status__in=IN_FLIGHT).exists()


def get_owner_pid(owner: str) -> int:
    """Return the process of an owner, which is "<host>:<process>:<random>"."""
    return int(owner.split(":")[1])


def get_jobs_by_pid() -> dict[int, Job]:
    """Return the jobs that are owned by a process now, with their steps, by the id of the process."""
    owned = Job.objects.exclude(owner="").prefetch_related("steps")
    return {get_owner_pid(job.owner): job for job in owned}


def describe_current_step(job: Job) -> str:
    """Return the kind of a job and the step that it is at."""
    steps = [step.name for step in job.steps.all() if step.status not in {"succeeded", "undone", "skipped"}]
    return f"{job.kind} {'undo ' if job.status == 'undoing' else ''}{steps[0] if steps else ''}"


def describe_job(job: Job) -> str:
    """Return a job with its open steps and their messages."""
    steps = list(job.steps.filter(status__in=OPEN_STEPS).values_list("name", "message"))
    return f"{job.kind} {job.subject} is {job.status} {steps}"


def describe_jobs_in_flight() -> list[str]:
    """Return a sentence for each job that is in flight."""
    return [describe_job(job) for job in Job.objects.filter(status__in=IN_FLIGHT)]


def count_jobs_by_outcome() -> Counter[str]:
    """Count all jobs by kind and status."""
    return Counter(f"{kind} {status}" for kind, status in Job.objects.values_list("kind", "status"))


def find_open_work(jobs: Iterable[Job]) -> list[str]:
    """Return a sentence for each lock, each open async task and each job that has not ended."""
    return [
        *(f"lock {lock.key} of {lock.job_id}" for lock in EntityLock.objects.all()),
        *(f"async task on {task.object_id}" for task in AsyncTask.objects.filter(verdict="open")),
        *(describe_job(job) for job in jobs if job.status not in ENDED),
    ]


def find_engine_errors(jobs: Iterable[Job]) -> list[str]:
    """Return a sentence for each job that is errored or stuck: neither may come of a fault."""
    return [
        f"{job.kind} {job.subject}: {job.status} {job.outcome_message} {job.traceback[-600:]}"
        for job in jobs
        if job.status in {JobStatus.ERRORED, JobStatus.STUCK}
    ]
