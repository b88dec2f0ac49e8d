"""Waiting for jobs. No beat runs in a benchmark, so a lost message would let it wait for ever without a limit."""

from __future__ import annotations

import time
from collections import Counter


def wait_until_all_ended(seconds: float = 180) -> None:
    """Wait until no job is in flight. Raises `TimeoutError` with the counts by status when that takes too long."""
    from tasks.models import IN_FLIGHT, Job

    deadline = time.monotonic() + seconds
    while Job.objects.filter(status__in=IN_FLIGHT).exists():
        if time.monotonic() > deadline:
            statuses = Counter(Job.objects.values_list("status", flat=True))
            raise TimeoutError(f"After {seconds:.0f} s the jobs are: {dict(statuses)}")
        time.sleep(0.01)
