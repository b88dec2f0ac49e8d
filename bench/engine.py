"""2,000 one-step commands, from the call to the finished job, against as many Celery tasks that do nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import redis

from .figures import Figure, Line, Note, percentile, timed
from .stack import Stack
from .statements import statements_of
from .waiting import until_all_ended

if TYPE_CHECKING:
    from tasks.models import Job

COMMANDS = 2000
CLICKS = 100
# Calls come from many threads of a web process, not from one loop: one that waits for the disk keeps no other waiting.
CLIENTS = 4


def engine(stack: Stack) -> list[Line]:
    """Throughput, the time from click to finished when idle, and what one job costs in statements."""
    from django.conf import settings
    from django.db import transaction

    from tasks import engine as the_engine
    from tasks.models import Job

    from .commands import COUNTER, OneStep, noop

    def submit(key: str) -> Job:
        with transaction.atomic():
            return the_engine.submit(OneStep(key)).job

    # Counted before there is a worker, which would be quicker than this process.
    the_engine.advance(submit("warm").pk)
    counted: list[Job] = []
    submitting = statements_of(lambda: counted.append(submit("counted")))
    advancing = statements_of(lambda: the_engine.advance(counted[0].pk))
    assert Job.objects.filter(status="succeeded").count() == 2

    # As `make up` starts it.
    worker = stack.worker("jobs,polling", concurrency=4)
    client = redis.Redis.from_url(settings.REDIS_URL)

    def noops() -> None:
        client.set(COUNTER, 0)
        by_clients(noop.delay)
        while int(client.get(COUNTER) or 0) < COMMANDS:
            time.sleep(0.01)

    def jobs() -> None:
        by_clients(lambda number: submit(f"{time.monotonic_ns()}-{number}"))
        until_all_ended()

    noops()
    submit("warm")
    limit, taken = timed(noops), timed(jobs)
    assert Job.objects.filter(status="succeeded").count() == COMMANDS + 3
    clicks = [timed(lambda: _to_the_end(submit(f"click-{time.monotonic_ns()}"))) for _ in range(CLICKS)]
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
        # A statement outside of a transaction commits by itself: the claim is one.
        Note(
            "commits a job",
            str(submitting.commits + advancing.commits + 1),
            submitting.commits + advancing.commits + 1,
        ),
    ]


def by_clients(call: Callable[[int], object]) -> None:
    """Make all calls, from so many threads as there are clients."""
    from django.db import connection

    def client(first: int) -> None:
        try:
            for number in range(first, COMMANDS, CLIENTS):
                call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))


def _to_the_end(job: Job) -> None:
    from tasks.models import ENDED, Job, JobStatus

    while JobStatus(Job.objects.values_list("status", flat=True).get(pk=job.pk)) not in ENDED:
        time.sleep(0.002)
