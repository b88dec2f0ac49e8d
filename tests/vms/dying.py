"""A worker that is killed while it carries out jobs, and the ones that go on with them."""

from __future__ import annotations

from django.utils import timezone

from tasks import crash_points
from tasks.models import Job
from tests.working import work


class Killed(BaseException):
    """Die as if killed by SIGKILL."""


def work_while_dying(monkeypatch, point: str, passes: int) -> None:
    """Run all jobs to their end; the worker dies at a pass of a crash point, after `passes` others, and its leases run out."""
    left = [passes]

    def die(name):
        if name == point:
            left[0] -= 1
            if left[0] == -1:
                raise Killed

    monkeypatch.setattr(crash_points, "crash_point", die)
    for _ in range(8):
        try:
            work()
        except Killed:
            Job.objects.exclude(owner="").update(lease_until=timezone.now())
