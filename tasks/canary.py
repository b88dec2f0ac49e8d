"""The canary: a job that does nothing, sent through everything every minute.

Beat rings, a worker submits it, another claims it, a poller looks, and the job ends: when the last canary is long ago,
something on that way is broken, whichever process still answers a ping.
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
# Twice the time between two canaries, and some: then something on their way is broken.
LATE_SECONDS = 150
# Canaries are many and say little.
RETENTION = timedelta(days=1)


@register
@dataclass
class CanaryCommand(Command):
    """One step that is done at once, and one that is watched for."""

    kind: ClassVar[str] = "tasks.canary"
    title: ClassVar[str | Promise] = _("CanaryCommand")
    deadline: ClassVar[timedelta] = minutes(5)

    def locks(self) -> list[str]:
        """One canary at a time: when they do not come back, they do not pile up either."""
        return ["canary"]

    @step(title=_("Sing"))
    def sing(self) -> Result:
        """Be carried out by a worker."""
        return Done()

    @step(title=_("Be heard"))
    def be_heard(self) -> Result:
        """Be looked at by a poller."""
        return Watch(SCOPE, SCOPE, SCOPE, until=frozenset({ALIVE}))


class CanaryWatcher:
    """Sees every canary alive: what counts is that it looks."""

    def poll_one(self, scope: str, object_id: str) -> Observation:
        """Alive."""
        return Observation(ALIVE)

    def poll_many(self, scope: str, object_ids: Sequence[str], since: datetime) -> Mapping[str, Observation]:
        """All of them alive."""
        return dict.fromkeys(object_ids, Observation(ALIVE))


register_watcher(SCOPE, CanaryWatcher())


def send_canary() -> None:
    """Let one fly, unless the last one is still in the air."""
    with transaction.atomic():
        engine.submit(CanaryCommand())


def seconds_since_canary() -> float | None:
    """How long ago the last canary came back; None when none has within the time that they are kept for."""
    now = database_now()
    ended = (
        Job.objects.filter(
            kind=CanaryCommand.kind,
            status=JobStatus.SUCCEEDED,
            created_at__gt=now - RETENTION,
            # One of the future came back under a clock that has been set back: it is no sign of life.
            ended_at__lte=now + TOLERANCE,
        )
        .order_by("-created_at")
        .values_list("ended_at", flat=True)
        .first()
    )
    return max(0.0, (now - ended).total_seconds()) if ended else None
