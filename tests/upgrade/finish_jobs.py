"""`python -m tests.upgrade.finish_jobs URL`: finish every job in the database of the settings, and print the outcomes as JSON."""

from __future__ import annotations

import json
import sys

import django

django.setup()

from django.db import connection  # noqa: E402 - only after the set-up.
from django.db.models import Max  # noqa: E402

from cloudaccounts.models import CloudAccount  # noqa: E402
from tasks.models import IN_FLIGHT, Job  # noqa: E402
from tests.working import work  # noqa: E402

# Every time that the engine compares with the present. The dump gets older each day, and its jobs must not be late for that.
ENGINE_TIMES = {
    "tasks_job": ("created_at", "started_at", "not_before", "deadline", "lease_until", "rung_at"),
    "tasks_step": ("started_at", "deadline"),
    "tasks_asynctask": ("created_at", "next_look_at"),
}


def move_to_now() -> None:
    """Move the times of jobs by the age of the dump, as if the upgrade had followed the dump at once."""
    newest = Job.objects.aggregate(newest=Max("created_at"))["newest"]
    with connection.cursor() as cursor:
        for table, columns in ENGINE_TIMES.items():
            moved = ", ".join(f"{column} = {column} + (now() - %s)" for column in columns)
            cursor.execute(f"UPDATE {table} SET {moved}", [newest] * len(columns))
        # Jobs that wait between two batches of a deployment, or for their next poll, are made due.
        cursor.execute(
            "UPDATE tasks_job SET not_before = now(), lease_until = NULL, owner = '' WHERE owner = ''"
        )


def main(auth_url: str) -> None:
    """Finish the jobs against the cloud at this address, and print them."""
    CloudAccount.objects.update(auth_url=auth_url)
    in_flight = list(Job.objects.filter(status__in=IN_FLIGHT).values_list("pk", flat=True))
    move_to_now()
    try:
        work(90)
    except AssertionError:
        left = Job.objects.filter(status__in=IN_FLIGHT)
        for job in left:
            steps = list(job.steps.values_list("name", "status", "message"))
            sys.stderr.write(f"{job.kind} {job.subject} {job.status} until {job.not_before}: {steps}\n")
        raise
    jobs = Job.objects.filter(pk__in=in_flight).order_by("kind", "created_at")
    outcomes = [[job.kind, job.subject, job.status, job.outcome_message] for job in jobs]
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1])
