"""A worker inside the test: moves jobs on and polls, as the Celery tasks would, until nothing is left to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tasks import engine, polling
from tasks.models import IN_FLIGHT, AsyncTask, Job

Found = TypeVar("Found")


def work(seconds: float = 20.0) -> None:
    """Move every job on until all have ended. Fails the test when that takes too long."""
    until = time.monotonic() + seconds
    while (ids := list(Job.objects.filter(status__in=IN_FLIGHT).values_list("pk", flat=True))) and (
        time.monotonic() < until
    ):
        for job_id in ids:
            engine.advance(job_id)
        look()
        time.sleep(0.02)
    assert not Job.objects.filter(status__in=IN_FLIGHT).exists(), "jobs did not end in time"


def look() -> None:
    """One round of every scope that is watched."""
    watched = AsyncTask.objects.filter(verdict="open").order_by().values_list("watcher", "scope").distinct()
    for watcher, scope in watched:
        polling.poll(watcher, scope)


def until(what: str, happens: Callable[[], Found], seconds: float = 20.0) -> Found:
    """Wait for something, and return what it gave. Fails the test, naming it, when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"Waited {seconds} s in vain: {what}"
        time.sleep(0.01)
    return found
