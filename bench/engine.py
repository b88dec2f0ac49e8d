"""2,000 one-step commands, from the call to the finished job, compared with as many Celery tasks that do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import redis

from .figures import Figure, Line, Note, measure, percentile
from .stack import Stack
from .statements import count_statements
from .waiting import wait_until_all_ended

if TYPE_CHECKING:
    from tasks.models import Job

COMMANDS = 2000
CLICKS = 100
# Calls come from several threads, as in a web process: a call that waits for the disk does not delay the others.
CLIENTS = 4


def measure_engine(stack: Stack) -> list[Line]:
    """Measure the throughput, the time from call to end when idle, and the statements of a job."""
    from django.conf import settings
    from django.db import transaction

    from tasks import engine
    from tasks.models import Job

    from .commands import COUNTER, OneStepCommand, noop

    def submit(key: str) -> Job:
        with transaction.atomic():
            return engine.submit(OneStepCommand(key)).job

    # Counted before a worker runs, because that would advance the job before this process does.
    engine.advance(submit("warm").pk)
    submitted: list[Job] = []
    submitting = count_statements(lambda: submitted.append(submit("counted")))
    advancing = count_statements(lambda: engine.advance(submitted[0].pk))
    assert Job.objects.filter(status="succeeded").count() == 2

    # With the options of `make up`.
    worker = stack.start_worker("jobs,polling", concurrency=4)
    client = redis.Redis.from_url(settings.REDIS_URL)

    def noops() -> None:
        client.set(COUNTER, 0)
        call_from_clients(noop.delay)
        while int(client.get(COUNTER) or 0) < COMMANDS:
            time.sleep(0.01)

    def jobs() -> None:
        call_from_clients(lambda number: submit(f"{time.monotonic_ns()}-{number}"))
        wait_until_all_ended()

    noops()
    submit("warm")
    limit, taken = measure(noops), measure(jobs)
    assert Job.objects.filter(status="succeeded").count() == COMMANDS + 3
    clicks = [
        measure(lambda: _wait_until_ended(submit(f"click-{time.monotonic_ns()}"))) for _ in range(CLICKS)
    ]
    stack.end(worker)
    return [
        Figure(
            f"{COMMANDS} one-step commands",
            f"{COMMANDS / taken:.0f}/s",
            f"{COMMANDS / limit:.0f}/s no-op tasks",
            limit / taken,
            0.4,
            "at least",
        ),
        Figure(
            "click to finished, idle, p50",
            f"{percentile(clicks, 0.5) * 1000:.0f} ms",
            "150 ms",
            percentile(clicks, 0.5) * 1000,
            150,
            "at most",
        ),
        Note(
            "click to finished, idle, p99",
            f"{percentile(clicks, 0.99) * 1000:.0f} ms",
            percentile(clicks, 0.99) * 1000,
        ),
        Note("statements to submit", str(submitting), submitting.work),
        Note("statements from claim to end", str(advancing), advancing.work),
        Note(
            "round trips a job",
            str(submitting.round_trips + advancing.round_trips),
            submitting.round_trips + advancing.round_trips,
        ),
        # The claim commits without a COMMIT statement, because it runs outside of a transaction.
        Note(
            "commits a job",
            str(submitting.commits + advancing.commits + 1),
            submitting.commits + advancing.commits + 1,
        ),
    ]


def call_from_clients(call: Callable[[int], object]) -> None:
    """Make all calls, spread over the threads of the clients."""
    from django.db import connection

    def client(first: int) -> None:
        try:
            for number in range(first, COMMANDS, CLIENTS):
                call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))


def _wait_until_ended(job: Job) -> None:
    from tasks.models import ENDED, Job, JobStatus

    while JobStatus(Job.objects.values_list("status", flat=True).get(pk=job.pk)) not in ENDED:
        time.sleep(0.002)
