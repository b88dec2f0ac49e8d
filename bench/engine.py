"""2,000 one-step commands, from the call to the finished job, against as many Celery tasks that do nothing."""

from __future__ import annotations

import time

import redis

from .figures import Figure, percentile, timed
from .stack import Stack

COMMANDS = 2000


def engine(stack: Stack) -> list[Figure]:
    """Throughput, and the time from click to finished when idle."""
    from django.conf import settings
    from django.db import transaction

    from tasks import engine as the_engine
    from tasks.models import IN_FLIGHT, Job

    from .commands import COUNTER, OneStep, noop

    worker = stack.worker("jobs,polling", concurrency=2)
    client = redis.Redis.from_url(settings.REDIS_URL)

    def noops() -> None:
        client.set(COUNTER, 0)
        for number in range(COMMANDS):
            noop.delay(number)
        while int(client.get(COUNTER) or 0) < COMMANDS:  # type: ignore[arg-type]
            time.sleep(0.01)

    def submit(key: str) -> Job:
        with transaction.atomic():
            return the_engine.submit(OneStep(key)).job

    def jobs() -> None:
        for number in range(COMMANDS):
            submit(f"{time.monotonic_ns()}-{number}")
        while Job.objects.filter(status__in=IN_FLIGHT).exists():
            time.sleep(0.01)

    noops()
    submit("warm")
    limit, taken = timed(noops), timed(jobs)
    assert Job.objects.filter(status="succeeded").count() == COMMANDS + 1
    clicks = [timed(lambda number=number: _to_the_end(submit(f"click-{number}"))) for number in range(100)]
    stack.end(worker)
    print(f"  click to finished, idle, p99: {percentile(clicks, 0.99) * 1000:.0f} ms")
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
    ]


def _to_the_end(job: object) -> None:
    from tasks.models import ENDED, Job

    while Job.objects.values_list("status", flat=True).get(pk=job.pk) not in ENDED:  # type: ignore[attr-defined]
        time.sleep(0.002)
