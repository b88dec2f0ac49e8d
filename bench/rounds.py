"""The runs of the poller, recorded by its worker, and the requests of each in the simulator's log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis
from celery.signals import task_postrun, task_prerun

from .commands import get_redis_client

POLLS = "bench:polls"
_begun: dict[str, float] = {}


@task_prerun.connect
def record_begin(task_id: str, task: Any, **_signal: Any) -> None:
    """Keep the time at which a run of the poller began."""
    if task.name == "tasks.poll":
        _begun[task_id] = time.time()


@task_postrun.connect
def record_end(task_id: str, task: Any, **_signal: Any) -> None:
    """Record the times at which a run of the poller began and ended."""
    if task.name == "tasks.poll":
        get_redis_client().rpush(POLLS, f"{_begun.pop(task_id)} {time.time()}")


def read_poller_runs(broker: redis.Redis) -> list[tuple[float, float]]:
    """Return begin and end of each run of the poller since the last call, and delete them."""
    recorded: Any = broker.lrange(POLLS, 0, -1)
    broker.delete(POLLS)
    return sorted((float(begun), float(ended)) for begun, ended in (line.split() for line in recorded))


def count_requests_by_round(
    runs: Sequence[tuple[float, float]], log: Sequence[dict[str, Any]]
) -> list[Counter[str]]:
    """Count the requests by kind ("list", "get") of every run that sent any.

    There is one scope, so at most one run sends requests at a time. But runs overlap: one that finds the scope owned lies
    within the owner's run and sends nothing, and the next round may begin before the last one has ended.
    """
    counts: dict[tuple[float, float], Counter[str]] = {}
    for entry in log:
        kind = _kind(entry)
        if kind is None:
            continue
        overlapping = [run for run in runs if run[0] <= entry["time"] <= run[1]]
        holders = [run for run in overlapping if not any(_is_within(run, other) for other in overlapping)]
        # A get outside of every run was sent by a step: it counts for no round.
        if holders:
            counts.setdefault(max(holders), Counter())[kind] += 1
    return [counts[run] for run in sorted(counts)]


def _is_within(run: tuple[float, float], other: tuple[float, float]) -> bool:
    return run != other and other[0] <= run[0] and run[1] <= other[1]


def _kind(entry: dict[str, Any]) -> str | None:
    if entry["method"] != "GET" or entry["service"] != "compute" or "/servers/" not in entry["path"]:
        return None
    return "list" if entry["path"].endswith("/servers/detail") else "get"
