"""Waiting for jobs to end: no beat runs in a benchmark, so a ring that is lost must not let it wait for ever."""

from __future__ import annotations

import time
from collections import Counter


def until_all_ended(seconds: float = 180) -> None:
    """Wait until no job is in flight. Raises `TimeoutError` with the statuses when that takes too long."""
    from tasks.models import IN_FLIGHT, Job

    until = time.monotonic() + seconds
    while Job.objects.filter(status__in=IN_FLIGHT).exists():
        if time.monotonic() > until:
            statuses = Counter(Job.objects.values_list("status", flat=True))
            raise TimeoutError(f"After {seconds:.0f} s the jobs are: {dict(statuses)}")
        time.sleep(0.01)
