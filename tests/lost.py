"""Jobs whose requests a cloud has lost: the tests move their times instead of waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.utils import timezone

from cloudaccounts.commands import cloud
from tasks import engine
from tasks.models import IN_FLIGHT, AsyncTask, Job, PollScope
from tests.working import poll_scopes


@contextmanager
def losing_at_once() -> Iterator[None]:
    """Let a request count as lost after three polls without a change, however little time has passed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud, "LOST_AFTER", timedelta(0))
        yield


def advance_as_if_due(rounds: int = 30) -> None:
    """Advance every job and poll every scope as if each were due, until all jobs have ended or for this many rounds."""
    for _ in range(rounds):
        now = timezone.now()
        AsyncTask.objects.filter(verdict="open").update(
            created_at=now - timedelta(minutes=1), next_look_at=now
        )
        PollScope.objects.filter(owner="").update(lease_until=None)
        poll_scopes()
        open_jobs = Job.objects.filter(status__in=IN_FLIGHT)
        open_jobs.filter(owner="", held=False).update(not_before=now)
        for job_id in list(open_jobs.order_by("created_at").values_list("pk", flat=True)):
            engine.advance(job_id)
        if not open_jobs.exists():
            return


def work_with_losses(rounds: int = 30) -> None:
    """Advance every job until all have ended, losing requests at once. Fails the test if one does not end."""
    with losing_at_once():
        advance_as_if_due(rounds)
    left = Job.objects.filter(status__in=IN_FLIGHT)
    assert not left.exists(), [
        (job.kind, job.status, list(job.steps.values_list("name", "status", "message"))) for job in left
    ]
