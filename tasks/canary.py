"""The canary: a job without an effect, sent through the whole system every minute.

Beat sends it, a worker submits it, another claims it, a poller polls for it, and the job ends: when the last canary is long
ago, something on that way is broken, whichever process still answers a ping.
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
# Canaries are many, and their rows of no further use.
RETENTION = timedelta(days=1)


@register
@dataclass
class CanaryCommand(Command):
    """A command of one step that is done at once, and one that is polled."""

    kind: ClassVar[str] = "tasks.canary"
    title: ClassVar[str | Promise] = _("Canary")
    deadline: ClassVar[timedelta] = minutes(5)

    def locks(self) -> list[str]:
        """Return one lock for all canaries: when they do not come back, they do not pile up either."""
        return ["canary"]

    renamed_steps: ClassVar[Mapping[str, str]] = {"sing": "run", "be_heard": "wait_until_polled"}

    @step(title=_("Run"))
    def run(self) -> Result:
        """Do nothing, in a worker."""
        return Done()

    @step(title=_("Poll"))
    def wait_until_polled(self) -> Result:
        """Wait for the poller."""
        return Watch(SCOPE, SCOPE, SCOPE, until=frozenset({ALIVE}))


class CanaryWatcher:
    """A watcher that finds every canary alive: what counts is that it polls."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Return that the canary is alive."""
        return Observation(ALIVE)

    def poll_many(self, scope: str, object_ids: Sequence[str], since: datetime) -> Mapping[str, Observation]:
        """Return that all of them are alive."""
        return dict.fromkeys(object_ids, Observation(ALIVE))


register_watcher(SCOPE, CanaryWatcher())


def send_canary() -> None:
    """Submit a canary, unless the last one has not come back."""
    with transaction.atomic():
        engine.submit(CanaryCommand())


def seconds_since_canary() -> float | None:
    """Return how long ago the last canary came back; None when none has within `RETENTION`."""
    now = database_now()
    ended = (
        Job.objects.filter(
            kind=CanaryCommand.kind,
            status=JobStatus.SUCCEEDED,
            created_at__gt=now - RETENTION,
            # A time that lies ahead was written before the clock was set back: it is no sign of life.
            ended_at__lte=now + TOLERANCE,
        )
        .order_by("-created_at")
        .values_list("ended_at", flat=True)
        .first()
    )
    return max(0.0, (now - ended).total_seconds()) if ended else None
