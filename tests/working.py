"""A worker inside the test: it advances jobs and polls, as the Celery tasks do, until nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tasks import engine, polling
from tasks.models import IN_FLIGHT, AsyncTask, Job

Result = TypeVar("Result")


def work(seconds: float = 20.0) -> None:
    """Advance every job until all have ended. Fails the test when that takes too long."""
    until = time.monotonic() + seconds
    while (ids := list(Job.objects.filter(status__in=IN_FLIGHT).values_list("pk", flat=True))) and (
        time.monotonic() < until
    ):
        for job_id in ids:
            engine.advance(job_id)
        poll_scopes()
        time.sleep(0.02)
    assert not Job.objects.filter(status__in=IN_FLIGHT).exists(), f"jobs did not end within {seconds:g} s"


def poll_scopes() -> None:
    """Poll every scope that has open async tasks, once."""
    watched = AsyncTask.objects.filter(verdict="open").order_by().values_list("watcher", "scope").distinct()
    for watcher, scope in watched:
        polling.poll(watcher, scope)


def wait_for(what: str, happens: Callable[[], Result], seconds: float = 20.0) -> Result:
    """Wait until `happens` returns a true value, and return it. Fails the test when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (result := happens()):
        assert time.monotonic() < deadline, f"It did not happen within {seconds:g} s: {what}"
        time.sleep(0.01)
    return result
