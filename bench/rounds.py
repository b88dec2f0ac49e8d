"""When the poller ran, told by the worker, and which requests of the simulator's log fall into which round."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import redis
from celery.signals import task_postrun, task_prerun

from .commands import client

POLLS = "bench:polls"
_begun: dict[str, float] = {}


@task_prerun.connect
def note_begin(task_id: str, task: Any, **_signal: Any) -> None:
    """Remember when a run of the poller began."""
    if task.name == "tasks.poll":
        _begun[task_id] = time.time()


@task_postrun.connect
def note_end(task_id: str, task: Any, **_signal: Any) -> None:
    """Tell when a run of the poller began and ended."""
    if task.name == "tasks.poll":
        client().rpush(POLLS, f"{_begun.pop(task_id)} {time.time()}")


def runs_of(broker: redis.Redis) -> list[tuple[float, float]]:
    """From when to when the poller ran, each time, since the last time that somebody asked."""
    noted: Any = broker.lrange(POLLS, 0, -1)
    broker.delete(POLLS)
    return sorted((float(begun), float(ended)) for begun, ended in (line.split() for line in noted))


def rounds_of(runs: Sequence[tuple[float, float]], log: Sequence[dict[str, Any]]) -> list[Counter[str]]:
    """Requests by kind ("list", "get") of every run that asked the cloud anything.

    There is one scope and so at most one run that asks at a time, but runs overlap: one that finds the scope taken
    lies within the holder's and asks nothing, and the next round may begin while the last one is still being put away.
    """
    asked: dict[tuple[float, float], Counter[str]] = {}
    for entry in log:
        kind = _kind(entry)
        if kind is None:
            continue
        around = [run for run in runs if run[0] <= entry["time"] <= run[1]]
        holders = [run for run in around if not any(_is_within(run, other) for other in around)]
        # A get outside of any run is a step's own: it counts for no round.
        if holders:
            asked.setdefault(max(holders), Counter())[kind] += 1
    return [asked[run] for run in sorted(asked)]


def _is_within(run: tuple[float, float], other: tuple[float, float]) -> bool:
    return run != other and other[0] <= run[0] and run[1] <= other[1]


def _kind(entry: dict[str, Any]) -> str | None:
    if entry["method"] != "GET" or entry["service"] != "compute" or "/servers/" not in entry["path"]:
        return None
    return "list" if entry["path"].endswith("/servers/detail") else "get"
