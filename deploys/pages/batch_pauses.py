"""The pause before a batch, for the page of a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tasks.models import Job, StepStatus


@dataclass(frozen=True, slots=True)
class BatchPause:
    """The waiting batch (counted from 0, as items count it), and the end of its pause."""

    batch: int
    begins_at: datetime


def find_pause(deployment: Any) -> BatchPause | None:
    """Return the current pause of a deployment, or None. One query while it is in progress, none after its end.

    A cancelled deployment has no pause, because it starts no further batch.
    """
    job = deployment.job
    if deployment.ended_at is not None or job is None or job.has_ended or job.cancel_requested_at:
        return None
    waiting = (
        Job.objects.filter(parent=job, steps__name="pause", steps__status=StepStatus.WAITING)
        .values_list("params", "not_before")
        .first()
    )
    if waiting is None:
        return None
    params, begins_at = waiting
    return BatchPause(int(params["number"]), begins_at)
