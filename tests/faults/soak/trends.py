"""Trends: the slope of the memory of each process, and counts that go on rising.

A slope is that of the least squares. How sure it is follows from how long the run was: memory moves by a megabyte with what
a process happens to do, and after one hour a growth of one megabyte an hour is as large as that. Shorter runs report slopes
and judge none.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.faults.framework.report import Invariant

from .sampling import ProcessSample, Sample

MAX_MEGABYTES_AN_HOUR = 1.0
JUDGED_FROM_SECONDS = 3600.0
# After the last kill, caches and pools of connections fill for this part of what is left of the run.
WARM_UP_SHARE = 0.25
# How many more than in the first half of the samples there may be in the second, at most.
# The descriptors of a web process include the connections of its clients, which come and go.
MAX_MORE = {"descriptors": 10, "threads": 3, "connections": 5}
# Fewer samples of a process say nothing.
FEWEST_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class MemoryTrend:
    """The memory of one process from the end of the warm-up to the end."""

    process: str
    first_mb: float
    last_mb: float
    slope_mb_per_hour: float
    seconds: float


def compute_slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the least squares, in units of the values an hour. The times are in seconds."""
    if len(set(times)) < 2:
        return 0.0
    slope, _intercept = statistics.linear_regression(times, values)
    return slope * 3600


def select_warm(samples: Sequence[Sample], survival_begin: float) -> list[Sample]:
    """Return the samples after the last kill and the warm-up that follows it."""
    if not samples:
        return []
    begin = survival_begin + WARM_UP_SHARE * (samples[-1].at - survival_begin)
    return [sample for sample in samples if sample.at >= begin]


def collect_processes(samples: Sequence[Sample]) -> dict[str, list[tuple[float, ProcessSample]]]:
    """Return the samples of each process that lived all the time: "worker 1" and so on in the order of their ids."""
    by_pid: dict[tuple[str, int], list[tuple[float, ProcessSample]]] = defaultdict(list)
    for sample in samples:
        for process in sample.processes:
            by_pid[process.program, process.pid].append((sample.at, process))
    # A process that has just forked, or that could not be read once, is missing in a sample.
    lived = {
        key: found for key, found in by_pid.items() if len(found) >= max(FEWEST_SAMPLES, 0.9 * len(samples))
    }
    names: dict[str, list[tuple[float, ProcessSample]]] = {}
    numbers: dict[str, int] = defaultdict(int)
    for program, pid in sorted(lived):
        names[f"{program} {numbers[program]}"] = lived[program, pid]
        numbers[program] += 1
    return names


def measure_memory(samples: Sequence[Sample]) -> list[MemoryTrend]:
    """Return the trend of each process that lived all the time. Its first process is the parent of the others."""
    trends = []
    for name, found in collect_processes(samples).items():
        times = [at for at, _process in found]
        values = [process.memory_mb for _at, process in found]
        slope = compute_slope(times, values)
        trends.append(MemoryTrend(name, values[0], values[-1], round(slope, 2), times[-1] - times[0]))
    return trends


def check_memory(trends: Sequence[MemoryTrend]) -> Invariant:
    """Check that no process grows, if the run was long enough to tell."""
    judged = [trend for trend in trends if trend.seconds >= JUDGED_FROM_SECONDS]
    statement = f"no process grows by {MAX_MEGABYTES_AN_HOUR:g} MB an hour"
    if not judged:
        statement += " (not judged: too short)"
    violations = [
        f"{trend.process} grew from {trend.first_mb:.1f} to {trend.last_mb:.1f} MB, {trend.slope_mb_per_hour:g} MB an hour"
        for trend in judged
        if trend.slope_mb_per_hour >= MAX_MEGABYTES_AN_HOUR
    ]
    return Invariant(statement, violations, len(judged))


def find_rising(title: str, values: Sequence[float], most: int) -> list[str]:
    """Return a sentence if the second half of the values rises above the first.

    A pool that fills reaches its maximum and stays there; a leak goes on.
    """
    half = len(values) // 2
    if half < FEWEST_SAMPLES // 2:
        return []
    before, after = max(values[:half]), max(values[half:])
    return [f"{title}: {before:g} at most in the first half, then {after:g}"] if after > before + most else []


def check_leaks(samples: Sequence[Sample]) -> Invariant:
    """Check that descriptors, threads and connections do not go on rising. Only quiet samples count."""
    quiet = [sample for sample in samples if sample.is_quiet]
    wrong: list[str] = []
    series: dict[str, list[float]] = {}
    readers: dict[str, Callable[[ProcessSample], int]] = {
        "descriptors": lambda process: process.descriptors,
        "threads": lambda process: process.threads,
    }
    for name, found in collect_processes(quiet).items():
        for what, read in readers.items():
            series[f"{what} of {name}"] = values = [read(process) for _at, process in found]
            wrong += find_rising(f"{what} of {name}", values, MAX_MORE[what])
    counts = {
        "connections to PostgreSQL": [sample.postgres_connections for sample in quiet],
        "connections to Valkey": [sample.valkey_connections for sample in quiet],
    }
    for title, counted in counts.items():
        known = [float(count) for count in counted if count is not None]
        series[title] = known
        wrong += find_rising(title, known, MAX_MORE["connections"])
    return Invariant("no connection, descriptor or thread leaks", wrong, len(series))
