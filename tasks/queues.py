"""Data of the queue page: schedules, workers, depths, and jobs by status and age.

The database is asked directly.
Workers and broker are asked by a thread of their own, and a page waits for it at most `PATIENCE_SECONDS`: a value that is not
known in time is `None`, and shown as unknown. A dead broker costs a request a second, and lets none hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from .canary import seconds_since_canary
from .clock import TOLERANCE, database_now
from .engine import OVERDUE
from .leases import is_unowned
from .models import IN_FLIGHT, Job, JobStatus

log = structlog.get_logger(__name__)

# How long a page waits for workers and broker, how long their answer is fresh, and for how long it is better than none.
PATIENCE_SECONDS = 0.8
FRESH_SECONDS = 3.0
GOOD_FOR_SECONDS = 15.0
# Workers answer a broadcast within some milliseconds; one that has not after this is shown as offline.
BROADCAST_SECONDS = 0.5

Value = TypeVar("Value")


class BackgroundProbe(Generic[Value]):
    """A value that is asked for over the broker, by one thread at a time for all requests of a process.

    Safe: the thread is the only writer of the answer, and there is never a second one, because it is started under the
    guard and clears itself under it. A probe that hangs keeps later ones from starting, so a dead broker costs a process
    one thread, not one a request.
    """

    def __init__(self, ask: Callable[[], Value]) -> None:
        self.ask = ask
        self.guard = threading.Lock()
        self.asking: threading.Event | None = None
        self.seen: tuple[Value, float] | None = None

    def get(self) -> Value | None:
        """Return the last value; None when there is none, or none that is new enough."""
        seen = self.seen
        if seen is not None and time.monotonic() - seen[1] < FRESH_SECONDS:
            return seen[0]
        with self.guard:
            if self.asking is None:
                self.asking = threading.Event()
                threading.Thread(
                    target=self._probe, args=[self.asking], name="queue-look", daemon=True
                ).start()
            answered = self.asking
        answered.wait(PATIENCE_SECONDS)
        seen = self.seen
        return seen[0] if seen is not None and time.monotonic() - seen[1] < GOOD_FOR_SECONDS else None

    def _probe(self, answered: threading.Event) -> None:
        try:
            self.seen = self.ask(), time.monotonic()
        except Exception as error:  # noqa: BLE001 - whatever ails the broker, the page shows "unknown".
            self.seen = None
            log.warning("queue_look_failed", error=str(error))
        finally:
            with self.guard:
                self.asking = None
            answered.set()


# --- Workers and depths ------------------------------------------------------------------------------------


def known_queues() -> list[str]:
    """Return every queue that the settings send messages to."""
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return sorted(routed | {settings.CELERY_TASK_DEFAULT_QUEUE})


@dataclass(frozen=True)
class BrokerStatus:
    """The answers of the broker and of the workers behind it."""

    depths: dict[str, int]
    workers: list[dict[str, Any]]

    @property
    def served(self) -> set[str]:
        """Return the queues that at least one worker reads."""
        return {queue for worker in self.workers for queue in worker["queues"]}


def _ask_broker() -> BrokerStatus:
    with current_app.connection_for_read() as connection:
        client: Any = connection.default_channel.client  # type: ignore[attr-defined] # the Redis channel's own client.
        waiting = {queue: client.llen(queue) for queue in known_queues()}
    answers = current_app.control.broadcast("portal_report", reply=True, timeout=BROADCAST_SECONDS) or []
    reports = [{"name": name, **report} for answer in answers for name, report in answer.items()]
    return BrokerStatus(waiting, sorted(reports, key=lambda report: report["name"]))


_broker = BackgroundProbe(_ask_broker)


def broker_status() -> BrokerStatus | None:
    """Return the depth of each queue, and the workers that are online with their queues and active tasks.

    None when that cannot be known.
    """
    return _broker.get()


# --- Schedules ---------------------------------------------------------------------------------------------


def list_schedules() -> list[PeriodicTask]:
    """Return every schedule of beat, with its interval or crontab."""
    # This one is django-celery-beat's own: it asks for messages in Celery's name, and does none of our work.
    ours = PeriodicTask.objects.exclude(name="celery.backend_cleanup")
    return list(ours.select_related("interval", "crontab", "solar", "clocked").order_by("name"))


def change_schedule(
    *, schedule_id: int, enabled: bool | None = None, every_seconds: int | None = None
) -> PeriodicTask:
    """Switch a schedule on or off, or give it another interval; beat hears of it within seconds.

    Raises `PeriodicTask.DoesNotExist`. Saved as a row, not by an update: the save tells beat.
    """
    with transaction.atomic():
        schedule: PeriodicTask = PeriodicTask.objects.select_for_update().get(pk=schedule_id)
        if enabled is not None:
            schedule.enabled = enabled
        if every_seconds is not None:
            interval, _created = IntervalSchedule.objects.get_or_create(
                every=every_seconds, period=IntervalSchedule.SECONDS
            )
            schedule.interval, schedule.crontab = interval, None
        schedule.save()
    return schedule


def next_run_at(schedule: PeriodicTask) -> datetime | None:
    """Return when beat will send it next, as far as the row tells: None when it is off or has never run."""
    if not schedule.enabled or schedule.last_run_at is None:
        return None
    remaining: timedelta = schedule.schedule.remaining_estimate(schedule.last_run_at)
    return timezone.now() + max(remaining, timedelta(0))


def is_late(schedule: PeriodicTask) -> bool:
    """Return whether it is on and was due twice since it ran: then beat does not run, or cannot keep up."""
    if not schedule.enabled or schedule.last_run_at is None:
        return False
    late: timedelta = timezone.now() - schedule.last_run_at
    if late < -TOLERANCE:
        # It counts from a time to come, and would not be due before that: beat repairs it as soon as it ticks.
        return True
    if schedule.interval is None:
        return False
    return bool(late > 2 * schedule.interval.schedule.run_every + timedelta(seconds=10))


# --- Jobs --------------------------------------------------------------------------------------------------

AGES = {
    "under_a_minute": timedelta(minutes=1),
    "under_ten_minutes": timedelta(minutes=10),
    "under_an_hour": timedelta(hours=1),
}


@dataclass(frozen=True)
class Summary:
    """Jobs by status and age, and what is late or in trouble."""

    by_status: list[dict[str, Any]]
    last_hour: dict[str, int]
    overdue: int
    oldest_overdue: Job | None
    troubled: list[Job]
    troubled_count: int
    canary_seconds_ago: float | None
    beat_seconds_ago: float | None
    broker: BrokerStatus | None


# The most jobs in trouble that a page shows; the count tells whether there are more.
MAX_TROUBLED_SHOWN = 50


def summarize_jobs() -> Summary:
    """Summarize jobs and queues for operators, in a fixed number of queries, none of which reads jobs that ended long ago."""
    now = timezone.now()
    counts = {name: Count("pk", filter=Q(created_at__gt=now - most)) for name, most in AGES.items()}
    standing = Job.objects.filter(status__in=[*IN_FLIGHT, JobStatus.STUCK]).order_by()
    by_status = list(
        standing.values("status").annotate(count=Count("pk"), oldest=Min("created_at"), **counts)
    )
    recent = Job.objects.filter(created_at__gt=now - timedelta(hours=1), parent=None).order_by()
    overdue = standing.filter(status__in=IN_FLIGHT, not_before__lt=Now() - OVERDUE).filter(is_unowned())
    troubled = troubled_jobs()
    return Summary(
        by_status=by_status,
        last_hour=dict(recent.values_list("status").annotate(count=Count("pk"))),
        overdue=overdue.count(),
        oldest_overdue=overdue.order_by("not_before").first(),
        troubled=list(troubled[:MAX_TROUBLED_SHOWN]),
        troubled_count=troubled.count(),
        canary_seconds_ago=seconds_since_canary(),
        beat_seconds_ago=seconds_since_beat(),
        broker=broker_status(),
    )


def troubled_jobs() -> Any:
    """Return the jobs that need attention, the oldest first. An errored child is shown by its root, which is errored too."""
    return Job.objects.filter(
        Q(status=JobStatus.STUCK) | Q(status=JobStatus.ERRORED, attended_at=None, parent=None)
    ).order_by("created_at")


def seconds_since_beat() -> float | None:
    """Return how long ago beat sent a task; None when it never did. Times that lie ahead do not count: see `count_schedules_ahead`."""
    now = database_now()
    sent = PeriodicTask.objects.filter(last_run_at__lte=now + TOLERANCE)
    at = sent.aggregate(latest=Max("last_run_at"))["latest"]
    return max(0.0, (now - at).total_seconds()) if at else None


def count_schedules_ahead() -> int:
    """Return how many schedules count from a time to come: the clock has been set back, and beat has not repaired them yet."""
    ahead: int = PeriodicTask.objects.filter(enabled=True, last_run_at__gt=database_now() + TOLERANCE).count()
    return ahead
