"""Counters and histograms that all processes add to: web processes count requests, workers count jobs and cloud requests.

A process collects its counts in memory, and a thread of it adds them to one hash in Redis every `FLUSH_SECONDS`. So every
web process shows the same sums at `/metrics`, and no request or job waits for Redis. A process that is killed loses at most
the counts of the last `FLUSH_SECONDS`; a Redis that is flushed resets the counters, which Prometheus recognizes.

The values of labels come from the code (routes, kinds of jobs, services), never from a request, so their number is bounded.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from .redis_client import create_redis_client

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0
# How often a web process reports that it lives, and after which silence it no longer counts.
REPORT_SECONDS = 15.0
PROCESS_LOST_SECONDS = 60.0
# The series that one process can hold while Redis does not answer. Labels are bounded, so it is never reached.
MAX_PENDING = 50_000

COUNTS_KEY = "portal:metrics:counts"
TIMES_KEY = "portal:metrics:times"
PROCESSES_KEY = "portal:metrics:web-processes"

Labels = tuple[str, ...]
_declared: dict[str, Counter | Histogram | LastTime] = {}


@dataclass(frozen=True)
class Counter:
    """A number that only grows. Its name has no `_total`, which the exposition adds."""

    name: str
    text: str
    labels: Labels

    def __post_init__(self) -> None:
        _declared[self.name] = self

    def increment(self, *values: str, by: float = 1) -> None:
        """Add to the series of these label values."""
        _store.add({_field(self.name, "", values): by})

    def build_family(self, stored: Stored) -> Metric:
        """Return the metric with the stored sums."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values, parts in stored.series(self.name, len(self.labels)):
            family.add_metric(values, parts.get("", 0.0))
        return family


@dataclass(frozen=True)
class Histogram:
    """Durations in seconds, counted by the smallest bucket that holds them; `buckets` are the upper bounds."""

    name: str
    text: str
    labels: Labels
    buckets: tuple[float, ...]

    def __post_init__(self) -> None:
        _declared[self.name] = self

    def observe(self, seconds: float, *values: str) -> None:
        """Count a duration."""
        position = bisect_left(self.buckets, seconds)
        bound = str(self.buckets[position]) if position < len(self.buckets) else "+Inf"
        _store.add({_field(self.name, bound, values): 1, _field(self.name, "sum", values): max(seconds, 0.0)})

    def build_family(self, stored: Stored) -> Metric:
        """Return the metric with the stored sums. Buckets of another release are left out."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        for values, parts in stored.series(self.name, len(self.labels)):
            count = 0.0
            buckets = []
            for bound in (*map(str, self.buckets), "+Inf"):
                count += parts.get(bound, 0.0)
                buckets.append((bound, count))
            family.add_metric(values, buckets, sum_value=parts.get("sum", 0.0))
        return family


@dataclass(frozen=True)
class LastTime:
    """The last time of something, shown as the seconds since then."""

    name: str
    text: str
    labels: Labels

    def __post_init__(self) -> None:
        _declared[self.name] = self

    def mark(self, *values: str) -> None:
        """Remember that it happens now."""
        _store.mark(_field(self.name, "", values))

    def build_family(self, stored: Stored) -> Metric:
        """Return the metric with the ages. A time in the future, of another machine's clock, is shown as now."""
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for values, at in stored.times(self.name, len(self.labels)):
            family.add_metric(values, max(0.0, stored.now - at))
        return family


def _field(name: str, part: str, values: Sequence[str]) -> str:
    return json.dumps([name, part, *(str(value)[:200] for value in values)], separators=(",", ":"))


@dataclass(frozen=True)
class Stored:
    """What Redis has: sums and times by field, the number of living web processes, and the time of the reading."""

    counts: Mapping[str, float]
    marks: Mapping[str, float]
    web_processes: int
    now: float

    def series(self, name: str, width: int) -> Iterable[tuple[list[str], dict[str, float]]]:
        """Return the label values of a metric's series with their parts; fields of another release are left out."""
        found: dict[tuple[str, ...], dict[str, float]] = {}
        for field, value in self.counts.items():
            field_name, part, *values = json.loads(field)
            if field_name == name and len(values) == width:
                found.setdefault(tuple(values), {})[part] = value
        return [(list(values), parts) for values, parts in sorted(found.items())]

    def times(self, name: str, width: int) -> Iterable[tuple[list[str], float]]:
        """Return the label values of a metric's series with their last times."""
        for field, at in sorted(self.marks.items()):
            field_name, _part, *values = json.loads(field)
            if field_name == name and len(values) == width:
                yield values, at


class MetricStore:
    """The counts that this process has not written yet, and the thread that writes them.

    Thread-safe: the lock is held only to change dictionaries, never while Redis is called. A forked child starts with
    nothing (`reset`), because its parent writes what it has counted itself.
    """

    def __init__(self) -> None:
        # Whether the first count starts the thread. Web processes and workers switch it on; elsewhere, `flush` is called.
        self.is_reporting = False
        self._client: Any = None
        self.reset()

    def reset(self) -> None:
        """Forget everything that is not written, and the thread, which a forked child does not have."""
        self._lock = threading.Lock()
        # Held while counts are written, so that the end of the process waits for them.
        self._writing = threading.Lock()
        self._counts: dict[str, float] = {}
        self._marks: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._is_web_process = False
        self._has_pending = threading.Event()

    def add(self, amounts: Mapping[str, float]) -> None:
        """Add to counts."""
        with self._lock:
            for field, amount in amounts.items():
                if field in self._counts or len(self._counts) < MAX_PENDING:
                    self._counts[field] = self._counts.get(field, 0.0) + amount
        self._wake_thread()

    def mark(self, field: str) -> None:
        """Remember the present time of a field."""
        with self._lock:
            self._marks[field] = time.time()
        self._wake_thread()

    def report_web_process(self) -> None:
        """Start the thread, which then also reports that this web process lives."""
        self.is_reporting = self._is_web_process = True
        self._wake_thread()

    def flush(self) -> None:
        """Write what was counted. Raises `redis.RedisError`; the counts are then kept for the next time."""
        with self._writing:
            self._write()

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, {}
            marks, self._marks = self._marks, {}
        if not (counts or marks or self._is_web_process):
            return
        try:
            # One transaction: it is written as a whole or not at all.
            with self._connect().pipeline(transaction=True) as pipeline:
                for field, amount in counts.items():
                    pipeline.hincrbyfloat(COUNTS_KEY, field, amount)
                if marks:
                    pipeline.hset(TIMES_KEY, mapping=marks)
                if self._is_web_process:
                    now = time.time()
                    pipeline.zadd(PROCESSES_KEY, {f"{socket.gethostname()}:{os.getpid()}": now})
                    pipeline.zremrangebyscore(PROCESSES_KEY, "-inf", now - PROCESS_LOST_SECONDS)
                pipeline.execute()
        except redis.RedisError:
            with self._lock:
                for field, amount in counts.items():
                    self._counts[field] = self._counts.get(field, 0.0) + amount
                self._marks = marks | self._marks
            raise

    def read(self) -> Stored:
        """Return what all processes have written. Raises `redis.RedisError`."""
        now = time.time()
        with self._connect().pipeline(transaction=False) as pipeline:
            pipeline.hgetall(COUNTS_KEY)
            pipeline.hgetall(TIMES_KEY)
            pipeline.zcount(PROCESSES_KEY, now - PROCESS_LOST_SECONDS, "+inf")
            counts, marks, web_processes = pipeline.execute()
        return Stored(
            {field.decode(): float(value) for field, value in counts.items()},
            {field.decode(): float(value) for field, value in marks.items()},
            web_processes,
            now,
        )

    def _connect(self) -> Any:
        if self._client is None:
            self._client = create_redis_client()
        return self._client

    def _wake_thread(self) -> None:
        if not self.is_reporting:
            return
        self._has_pending.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._report, name="metrics", daemon=True)
                    self._thread.start()

    def _report(self) -> None:
        while True:
            self._has_pending.wait(REPORT_SECONDS if self._is_web_process else None)
            self._has_pending.clear()
            try:
                self.flush()
            except redis.RedisError as error:
                log.warning("metrics_not_written", error=str(error))
            # Counts of this time are written together.
            time.sleep(FLUSH_SECONDS)


_store = MetricStore()
os.register_at_fork(after_in_child=_store.reset)


def start_reporting() -> None:
    """Let this process, and those that it forks, write their counts by a thread that the first count starts."""
    _store.is_reporting = True


def report_web_process() -> None:
    """Let this web process write its counts, and report that it lives."""
    _store.report_web_process()


def flush_at_exit() -> None:
    """Write what this process has counted and not written yet; lose it when Redis does not answer."""
    with contextlib.suppress(redis.RedisError):
        _store.flush()


def read_metrics() -> list[Metric] | None:
    """Return the metrics that all processes have counted; None when Redis does not answer."""
    try:
        _store.flush()
        stored = _store.read()
    except redis.RedisError as error:
        log.warning("metrics_not_read", error=str(error))
        return None
    processes = GaugeMetricFamily(
        "portal_web_processes", "Web processes that have reported in the last minute.", stored.web_processes
    )
    return [*(metric.build_family(stored) for metric in _declared.values()), processes]
