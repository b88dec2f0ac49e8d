"""The canary: a job without an effect that is sent through the whole system every minute.

Beat sends its task, a worker submits the job, another worker claims it, a poller polls its watch, and the job ends. If the
last canary ended long ago, one of these parts does not work, even if every process answers a ping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import engine
from .clock import TOLERANCE, database_now
from .command import Command, Done, Result, Watch, minutes, register, step
from .models import Job, JobStatus
from .polling import Observation, register_watcher

SCOPE = "canary"
ALIVE = "alive"
EVERY_SECONDS = 60
# More than twice the time between two canaries.
LATE_SECONDS = 150
# Canaries are many, and their rows have no further use.
RETENTION = timedelta(days=1)


@register
@dataclass
class CanaryCommand(Command):
    """A command with a step that does nothing and a step that is polled."""

    kind: ClassVar[str] = "tasks.canary"
    title: ClassVar[str | Promise] = _("Canary")
    deadline: ClassVar[timedelta] = minutes(5)

    def locks(self) -> list[str]:
        """Return one lock for all canaries, so that they do not accumulate when they do not end."""
        return ["canary"]

    renamed_steps: ClassVar[Mapping[str, str]] = {"sing": "run", "be_heard": "wait_until_polled"}

    @step(title=_("Run"))
    def run(self) -> Result:
        """Do nothing. The step only shows that a worker runs it."""
        return Done()

    @step(title=_("Poll"))
    def wait_until_polled(self) -> Result:
        """Wait for the verdict of the poller."""
        return Watch(SCOPE, SCOPE, SCOPE, until=frozenset({ALIVE}))


class CanaryWatcher:
    """A watcher that reports every canary as alive, so that only the poller itself is tested."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Return that the canary is alive."""
        return Observation(ALIVE)

    def poll_many(self, scope: str, object_ids: Sequence[str], since: datetime) -> Mapping[str, Observation]:
        """Return that all canaries are alive."""
        return dict.fromkeys(object_ids, Observation(ALIVE))


register_watcher(SCOPE, CanaryWatcher())


def send_canary() -> None:
    """Submit a canary. A canary that has not ended is joined instead."""
    with transaction.atomic():
        engine.submit(CanaryCommand())


def seconds_since_canary() -> float | None:
    """Return how many seconds ago the last canary ended; None when none did within `RETENTION`."""
    now = database_now()
    ended = (
        Job.objects.filter(
            kind=CanaryCommand.kind,
            status=JobStatus.SUCCEEDED,
            created_at__gt=now - RETENTION,
            # A time in the future was written before the clock was set back, and does not prove that the system works.
            ended_at__lte=now + TOLERANCE,
        )
        .order_by("-created_at")
        .values_list("ended_at", flat=True)
        .first()
    )
    return max(0.0, (now - ended).total_seconds()) if ended else None
