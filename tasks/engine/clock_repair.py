"""What is done when the database's clock has gone back: times that lie ahead of anything we write must not block for hours.

A clock that ran ahead, and was set right, leaves times behind that lie in the future: a lease that nobody keeps, a look
that is due tomorrow, a job that waits until then. Each of them has a longest span that it is ever written with; what lies
further ahead than that was written by another clock.
"""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

import structlog
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from ..command import Command, UnknownKindError, command_class
from ..dispatch import wake_jobs
from ..leases import shorten_leases
from ..models import IN_FLIGHT, AsyncTask, Job, PollScope

log = structlog.get_logger(__name__)

# How long any watched thing is left alone at the most, also when a cloud asks to be left alone for longer.
LONGEST_LOOK_PAUSE = timedelta(minutes=15)
# A rest of a poller between two rounds.
LONGEST_REST = timedelta(minutes=5)
REPAIR_EVERY_SECONDS = 30.0
_repaired_at = -REPAIR_EVERY_SECONDS


def repair_now_and_then() -> None:
    """Repair, unless this process did so a moment ago: the sweep comes every few seconds."""
    global _repaired_at  # noqa: PLW0603 - one clock a process; a second repair does no harm.
    if time.monotonic() - _repaired_at >= REPAIR_EVERY_SECONDS:
        _repaired_at = time.monotonic()
        repair_times_ahead()


def repair_times_ahead() -> int:
    """Bring back what lies further ahead than it is ever written; how many rows.

    Safe beside workers: a lease is only cut to the length of a fresh one, which its owner, if it lives, goes on to
    extend; and to look at something or to ring for a job early costs a look.
    """
    now = Now()
    cut = shorten_leases(Job.objects.filter(status__in=IN_FLIGHT)) + shorten_leases(PollScope.objects.all())
    resting = PollScope.objects.filter(owner="", lease_until__gt=now + LONGEST_REST)
    cut += resting.update(lease_until=None)
    looks = AsyncTask.objects.filter(
        verdict=AsyncTask.Verdict.OPEN, next_look_at__gt=now + LONGEST_LOOK_PAUSE
    )
    # Not to now: a cloud may have asked to be left alone for hours, and is so for a quarter of an hour each time.
    cut += looks.update(next_look_at=now + LONGEST_LOOK_PAUSE)
    if too_late := _jobs_that_wait_too_long():
        cut += len(too_late)
        wake_jobs(too_late)
    if cut:
        log.warning("times_ahead_repaired", rows=cut, reason="The database's clock has gone back.")
    return cut


def _jobs_that_wait_too_long() -> list[UUID]:
    """Jobs that wait for nothing but a time, which lies further ahead than their commands ever wait."""
    watched = AsyncTask.objects.filter(job=OuterRef("pk"), verdict=AsyncTask.Verdict.OPEN)
    ahead = Job.objects.filter(
        ~Exists(watched),
        status__in=IN_FLIGHT,
        owner="",
        held=False,
        children_open=0,
        not_before__gt=Now() + Command.longest_wait,
    )
    found = []
    for pk, kind in ahead.values_list("pk", "kind")[:1000]:
        try:
            longest = command_class(kind).longest_wait
        except UnknownKindError:
            continue
        if (
            longest <= Command.longest_wait
            or Job.objects.filter(pk=pk, not_before__gt=Now() + longest).exists()
        ):
            found.append(pk)
    return found
