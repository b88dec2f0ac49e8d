"""Time that passes at once for jobs that wait for what a cloud has lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.commands import cloud
from tasks import engine
from tasks.models import IN_FLIGHT, AsyncTask, Job, PollScope
from tests.working import look


@contextmanager
def standing_still() -> Iterator[None]:
    """Nothing has to stand still for longer than three looks before it counts as lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud, "LOST_AFTER", timedelta(0))
        yield


def look_again(rounds: int = 30) -> None:
    """Look at every job as if its time had come, until all have ended or so many rounds are over."""
    for _ in range(rounds):
        now = timezone.now()
        AsyncTask.objects.filter(verdict="open").update(
            created_at=now - timedelta(minutes=1), next_look_at=now
        )
        PollScope.objects.filter(owner="").update(lease_until=None)
        look()
        open_jobs = Job.objects.filter(status__in=IN_FLIGHT)
        open_jobs.filter(owner="", held=False).update(not_before=now)
        for job_id in list(open_jobs.order_by("created_at").values_list("pk", flat=True)):
            engine.advance(job_id)
        if not open_jobs.exists():
            return


def work_with_losses(rounds: int = 30) -> None:
    """Move every job on until all have ended. Fails the test when they do not."""
    with standing_still():
        look_again(rounds)
    left = Job.objects.filter(status__in=IN_FLIGHT)
    assert not left.exists(), [
        (job.kind, job.status, list(job.steps.values_list("name", "status", "message"))) for job in left
    ]
