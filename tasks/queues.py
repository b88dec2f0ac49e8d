"""Data of the queue page: schedules, workers, queue depths, and jobs by status and age.

The database is queried directly. A separate thread queries the broker and the workers, and a page waits for it at most
`MAX_WAIT_SECONDS`: a value that is not known in time is None, and shown as unknown. So a dead broker delays a request by at
most a second.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import structlog
from amqp.exceptions import NotFound
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import Greatest, Now
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from api.shared_metrics import LastTime

from .canary import seconds_since_canary
from .clock import TOLERANCE, database_now
from .engine import OVERDUE
from .leases import is_unowned
from .models import IN_FLIGHT, AsyncTask, Job, JobStatus

log = structlog.get_logger(__name__)

WORKER_SEEN = LastTime(
    "portal_worker_last_seen_age_seconds",
    "Seconds since a worker that reads the queue last answered.",
    ("queue",),
)

# How long a page waits for the broker; how long an answer is used without a new query; and how long it is used at all.
MAX_WAIT_SECONDS = 0.8
FRESH_SECONDS = 3.0
MAX_AGE_SECONDS = 15.0
# Workers answer a broadcast within milliseconds. A worker that has not answered after this time is shown as offline.
BROADCAST_SECONDS = 0.5

Value = TypeVar("Value")


class BackgroundProbe(Generic[Value]):
    """A value that one background thread fetches for all requests of a process.

    Safe: a probe is requested and cleared under the lock, and only the thread writes the result. While a probe hangs, no
    other starts, so a dead broker costs a process one thread, not one for each request.
    The thread lives as long as the process: libuuid, which redis-py's locks call, opens a file for each new thread and never
    closes it, so a thread for each probe would use all descriptors up within hours.
    """

    def __init__(self, fetch: Callable[[], Value]) -> None:
        self.fetch = fetch
        self.lock = threading.Lock()
        self.pending: threading.Event | None = None
        self.requested: SimpleQueue[threading.Event] = SimpleQueue()
        self.thread: threading.Thread | None = None
        self.last_result: tuple[Value, float] | None = None

    def get(self) -> Value | None:
        """Return the last value, or None when it is missing or too old."""
        last_result = self.last_result
        if last_result is not None and time.monotonic() - last_result[1] < FRESH_SECONDS:
            return last_result[0]
        with self.lock:
            if self.pending is None:
                self.pending = threading.Event()
                self.requested.put(self.pending)
                # A fork has the object of its parent's thread, but not the thread.
                if self.thread is None or not self.thread.is_alive():
                    self.thread = threading.Thread(target=self._run, name="queue-probe", daemon=True)
                    self.thread.start()
            finished = self.pending
        finished.wait(MAX_WAIT_SECONDS)
        last_result = self.last_result
        return (
            last_result[0]
            if last_result is not None and time.monotonic() - last_result[1] < MAX_AGE_SECONDS
            else None
        )

    def _run(self) -> None:
        while True:
            self._probe(self.requested.get())

    def _probe(self, finished: threading.Event) -> None:
        try:
            self.last_result = self.fetch(), time.monotonic()
        except Exception as error:  # noqa: BLE001 - the broker may fail in many ways; the page shows "unknown".
            self.last_result = None
            log.warning("queue_probe_failed", error=str(error))
        finally:
            with self.lock:
                self.pending = None
            finished.set()


# --- Workers and depths ------------------------------------------------------------------------------------


def known_queues() -> list[str]:
    """Return every queue that the settings send messages to."""
    routed_queues = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    return sorted(routed_queues | {settings.CELERY_TASK_DEFAULT_QUEUE})


@dataclass(frozen=True)
class BrokerStatus:
    """The answers of the broker and of the workers behind it."""

    depths: dict[str, int]
    workers: list[dict[str, Any]]
    # Seconds since the oldest message of each queue was sent. Without an entry for a message that does not tell.
    ages: dict[str, float] = field(default_factory=dict)

    @property
    def served(self) -> set[str]:
        """Return the queues that at least one worker reads."""
        return {queue for worker in self.workers for queue in worker["queues"]}

    def count_workers(self, queue: str) -> int:
        """Return how many workers read a queue."""
        return sum(queue in worker["queues"] for worker in self.workers)


def _fetch_depths_and_ages() -> tuple[dict[str, int], dict[str, float]]:
    """Return the number of messages of each queue, and the age of its oldest; RabbitMQ shows no message without taking it."""
    with current_app.connection_for_read() as connection:
        if settings.RABBITMQ_URL:
            return {queue: _count_in_rabbitmq(connection, queue) for queue in known_queues()}, {}
        client: Any = connection.default_channel.client  # type: ignore[attr-defined] # the Redis channel's own client.
        names = known_queues()
        with client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.llen(name)
                # Messages are put in at the left and taken out at the right.
                pipeline.lindex(name, -1)
            found = pipeline.execute()
    ages = {
        name: age
        for name, message in zip(names, found[1::2], strict=True)
        if (age := measure_message_age(message)) is not None
    }
    return dict(zip(names, found[::2], strict=True)), ages


def _count_in_rabbitmq(connection: Any, queue: str) -> int:
    """Return how many messages wait in a queue. The declaration is passive: it creates nothing, and only asks.

    A queue that no worker and no sender has declared yet has no messages. RabbitMQ closes the channel that asked for one,
    so each question gets a channel of its own.
    """
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except NotFound:
            return 0


def _fetch_broker_status() -> BrokerStatus:
    depths, ages = _fetch_depths_and_ages()
    answers = current_app.control.broadcast("portal_report", reply=True, timeout=BROADCAST_SECONDS) or []
    reports = [{"name": name, **report} for answer in answers for name, report in answer.items()]
    status = BrokerStatus(depths, sorted(reports, key=lambda report: report["name"]), ages)
    for queue in status.served:
        WORKER_SEEN.mark(queue)
    return status


def measure_message_age(message: bytes | None) -> float | None:
    """Return the seconds since a message was sent; 0 without a message, None when the message does not tell.

    `portal/celery.py` writes the time into each message; messages of the release before, and of other programs, have none.
    """
    if message is None:
        return 0.0
    try:
        return max(0.0, time.time() - float(json.loads(message)["headers"]["sent_at"]))
    except (ValueError, KeyError, TypeError):
        return None


_broker = BackgroundProbe(_fetch_broker_status)


def broker_status() -> BrokerStatus | None:
    """Return the depth of each queue and the online workers; None when the broker does not answer."""
    return _broker.get()


# --- Schedules ---------------------------------------------------------------------------------------------


def list_schedules() -> list[PeriodicTask]:
    """Return every schedule of beat, with its interval or crontab."""
    # django-celery-beat adds this schedule itself; it does nothing for the portal.
    portal_schedules = PeriodicTask.objects.exclude(name="celery.backend_cleanup")
    return list(portal_schedules.select_related("interval", "crontab", "solar", "clocked").order_by("name"))


def change_schedule(
    *, schedule_id: int, enabled: bool | None = None, every_seconds: int | None = None
) -> PeriodicTask:
    """Enable or disable a schedule, or change its interval; beat applies it within seconds.

    Raises `PeriodicTask.DoesNotExist`. It calls `save()`, because an update of the queryset would not notify beat.
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
    """Return when beat will send a schedule next, according to its row; None when it is disabled or has never run."""
    if not schedule.enabled or schedule.last_run_at is None:
        return None
    remaining: timedelta = schedule.schedule.remaining_estimate(schedule.last_run_at)
    return timezone.now() + max(remaining, timedelta(0))


def is_late(schedule: PeriodicTask) -> bool:
    """Return whether an enabled schedule was due twice since its last run: beat does not run, or cannot keep up."""
    if not schedule.enabled or schedule.last_run_at is None:
        return False
    delay: timedelta = timezone.now() - schedule.last_run_at
    if delay < -TOLERANCE:
        # Its last run is in the future, so it would not become due: beat repairs this when it runs.
        return True
    if schedule.interval is None:
        return False
    return bool(delay > 2 * schedule.interval.schedule.run_every + timedelta(seconds=10))


# --- Jobs --------------------------------------------------------------------------------------------------

AGES = {
    "under_a_minute": timedelta(minutes=1),
    "under_ten_minutes": timedelta(minutes=10),
    "under_an_hour": timedelta(hours=1),
}


@dataclass(frozen=True)
class Summary:
    """Jobs by status and age, jobs that are overdue or in trouble, and the state of beat, broker and workers."""

    by_status: list[dict[str, Any]]
    last_hour: dict[str, int]
    overdue: int
    oldest_overdue: Job | None
    troubled: list[Job]
    troubled_count: int
    canary_seconds_ago: float | None
    beat_seconds_ago: float | None
    broker: BrokerStatus | None


# The maximum number of jobs in trouble on a page; the count shows whether there are more.
MAX_TROUBLED_SHOWN = 50


def summarize_jobs() -> Summary:
    """Return a summary of jobs and queues. It takes a fixed number of queries, and none reads jobs that ended long ago."""
    now = timezone.now()
    counts = {name: Count("pk", filter=Q(created_at__gt=now - age)) for name, age in AGES.items()}
    unended = Job.objects.filter(status__in=[*IN_FLIGHT, JobStatus.STUCK]).order_by()
    by_status = list(unended.values("status").annotate(count=Count("pk"), oldest=Min("created_at"), **counts))
    recent = Job.objects.filter(created_at__gt=now - timedelta(hours=1), parent=None).order_by()
    overdue = unended.filter(status__in=IN_FLIGHT, not_before__lt=Now() - OVERDUE).filter(is_unowned())
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


def measure_queue_ages() -> dict[str, float]:
    """Return, by queue, the seconds for which its oldest work that is due has waited for a worker; 0 without any.

    Only jobs and polls are known here: what other queues have to do is no row of the task manager. A job whose worker has
    died counts from the end of its lease.
    """
    due = Job.objects.filter(status__in=IN_FLIGHT, not_before__lt=Now()).filter(is_unowned()).order_by()
    # PostgreSQL's GREATEST leaves NULL out.
    oldest = list(due.values_list("queue").annotate(since=Min(Greatest("not_before", "lease_until"))))
    polls = AsyncTask.objects.filter(verdict=AsyncTask.Verdict.OPEN, next_look_at__lt=Now())
    oldest.append(("polling", polls.aggregate(at=Min("next_look_at"))["at"]))
    ages = dict.fromkeys({settings.CELERY_TASK_DEFAULT_QUEUE, "polling"}, 0.0)
    now = database_now()
    for name, since in oldest:
        queue = name or settings.CELERY_TASK_DEFAULT_QUEUE
        if since is not None:
            ages[queue] = max(ages.get(queue, 0.0), (now - since).total_seconds())
    return ages


def troubled_jobs() -> Any:
    """Return the jobs that need attention, the oldest first. Errored children are left out, because their root is errored, too."""
    return Job.objects.filter(
        Q(status=JobStatus.STUCK) | Q(status=JobStatus.ERRORED, attended_at=None, parent=None)
    ).order_by("created_at")


def seconds_since_beat() -> float | None:
    """Return how long ago beat sent a task; None when it never did. Times in the future do not count: see `count_schedules_ahead`."""
    now = database_now()
    sent = PeriodicTask.objects.filter(last_run_at__lte=now + TOLERANCE)
    at = sent.aggregate(latest=Max("last_run_at"))["latest"]
    return max(0.0, (now - at).total_seconds()) if at else None


def count_schedules_ahead() -> int:
    """Return how many schedules have a last run in the future: the clock was set back, and beat has not repaired them yet."""
    ahead: int = PeriodicTask.objects.filter(enabled=True, last_run_at__gt=database_now() + TOLERANCE).count()
    return ahead
