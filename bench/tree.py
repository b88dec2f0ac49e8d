"""Trees of 1,000 children of one step, compared with as many jobs of one step without a parent.

A child may cost at most twice as much as a job without a parent, because its end is also counted at its parent and
releases the next child.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from devserver import launch

from .figures import Figure, Line, Note, measure
from .stack import Stack
from .statements import Statements, count_statements
from .waiting import wait_until_all_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.models import Job

CHILDREN = 1000
FEWER = 100
AT_ONCE = 50
MEGABYTE = 1024 * 1024


def measure_trees(stack: Stack) -> list[Line]:
    """Measure the throughput, the statements of a child, the memory, and how long it takes to read and to undo a tree."""
    lines: list[Line] = []
    small, large = _count_tree_statements(20), _count_tree_statements(120)
    each = (large.work - small.work) / 100
    lines += [
        Note("statements a child, from birth to end", f"{each:.2f}", each),
        Note("round trips a child", f"{(large.round_trips - small.round_trips) / 100:.2f}",
             (large.round_trips - small.round_trips) / 100),
        Note("commits a child, claims not counted", f"{(large.commits - small.commits) / 100:.2f}",
             (large.commits - small.commits) / 100),
        *_measure_reading(),
    ]  # fmt: skip
    _drain_queues(stack)

    worker = stack.start_worker("jobs,polling", concurrency=2)
    _submit_tree("warm", FEWER)
    wait_until_all_ended()
    # In turns, because the load of the machine changes.
    alone, in_trees = [], []
    for turn in range(3):
        alone.append(measure(partial(_run_until_ended, partial(_submit_jobs, f"alone-{turn}"))))
        in_trees.append(measure(partial(_run_until_ended, partial(_submit_tree, f"tree-{turn}", CHILDREN))))
    limit, taken = statistics.median(alone), statistics.median(in_trees)
    lines.append(
        Figure(
            f"a tree of {CHILDREN}",
            f"{CHILDREN / taken:.0f} children/s",
            f"{CHILDREN / limit:.0f}/s independent jobs",
            limit / taken,
            0.5,
            "at least",
        )
    )
    lines.append(Note("from the submit to the parent's end", f"{taken:.1f} s", taken))
    lines += _measure_undo()
    stack.end(worker)
    for count in (FEWER, CHILDREN):
        lines += _measure_memory(stack, count)
    return lines


def _run_until_ended(submit: Callable[[], object]) -> None:
    submit()
    wait_until_all_ended()


def _submit_tree(key: str, count: int, *, fails: bool = False) -> Job:
    from django.db import transaction

    from tasks import engine

    from .commands import TreeCommand

    with transaction.atomic():
        return engine.submit(TreeCommand(key, count, AT_ONCE, fails)).job


def _submit_jobs(key: str) -> None:
    """Submit as many jobs in one transaction."""
    from django.db import transaction

    from tasks import engine

    from .commands import OneStepCommand

    with transaction.atomic():
        engine.submit_many([engine.Spec(OneStepCommand(f"{key}-{number}")) for number in range(CHILDREN)])


def _drain_queues(stack: Stack) -> None:
    """Let a worker consume the messages of the jobs that this process has advanced, before anything is measured."""
    worker = stack.start_worker("jobs,polling", concurrency=2)
    wait_until_all_ended()
    time.sleep(2)
    stack.end(worker)


# --- In this process ---------------------------------------------------------------------------------------


def _list_children(parent: Job) -> list[Any]:
    """Return the ids of the children in the order of their release."""
    return list(parent.children.order_by("position").values_list("pk", flat=True))


def _count_tree_statements(count: int) -> Statements:
    """Count the statements of a whole tree. The difference between two sizes is the cost of the children."""
    from tasks import engine
    from tasks.models import Job

    parent = _submit_tree(f"counted-{count}", count)
    children: list[Any] = []

    def spawn() -> None:
        engine.advance(parent.pk)

    def advance() -> None:
        for child in children:
            engine.advance(child)
        engine.advance(parent.pk)

    spawned = count_statements(spawn)
    children += _list_children(parent)
    advanced = count_statements(advance)
    assert Job.objects.get(pk=parent.pk).status == "succeeded"
    return Statements(
        spawned.work + advanced.work, spawned.begins + advanced.begins, spawned.commits + advanced.commits
    )


def _measure_reading() -> list[Note]:
    """Measure `GET /api/v1/jobs/{id}/` of a tree whose children have ended by half."""
    from rest_framework.test import APIClient

    from api.models import ApiToken
    from tasks import engine
    from tenants.models import User

    user = User.objects.create_user("bench", is_staff=True, is_superuser=True)
    _token, secret = ApiToken.objects.create(user=user, name="bench", expiry=None)
    browser = APIClient(SERVER_NAME="localhost", HTTP_AUTHORIZATION=f"Token {secret}")
    notes = []
    for count in (FEWER, CHILDREN):
        parent = _submit_tree(f"read-{count}", count)
        engine.advance(parent.pk)
        for child in _list_children(parent)[: count // 2]:
            engine.advance(child)
        get = partial(browser.get, f"/api/v1/jobs/{parent.pk}/")
        get()
        seconds = statistics.median(measure(get) for _ in range(20))
        counted = count_statements(get)
        answer = get()
        assert answer.status_code == 200
        job = answer.json()
        assert (job["progress"], len(job["children"])) == (50, 100), job["progress"]
        notes += [
            Note(f"GET of a tree of {count}, half done", f"{seconds * 1000:.0f} ms", seconds * 1000),
            Note(f"GET of a tree of {count}: statements", str(counted.work), counted.work),
        ]
    return notes


# --- With workers ------------------------------------------------------------------------------------------


def _measure_undo() -> list[Note]:
    """Measure a tree whose last child fails: all that succeeded are undone before the parent fails."""
    from tasks.models import Job, Step

    parent = _submit_tree("fails", CHILDREN, fails=True)
    seconds = measure(wait_until_all_ended)
    parent.refresh_from_db()
    children = Counter(parent.children.values_list("status", "outcome_code"))
    steps = Counter(Step.objects.filter(job__parent=parent).values_list("status", flat=True))
    assert parent.status == "failed", parent.status
    assert steps["undone"] + steps["skipped"] + steps["failed"] == CHILDREN, steps
    assert not Job.objects.filter(pk=parent.pk, locks__isnull=False).exists()
    print(f"  undone: children {dict(children)}, their steps {dict(steps)}")
    return [
        Note(f"a tree of {CHILDREN} that fails at its last", f"{seconds:.1f} s", seconds),
        Note("of those undone", str(steps["undone"]), steps["undone"]),
    ]


def _measure_memory(stack: Stack, count: int) -> list[Note]:
    """Measure the peak memory of a new worker and its two processes while they run a tree."""
    worker = stack.start_worker("jobs,polling", concurrency=2)
    _submit_tree(f"memory-warm-{count}", 10)
    wait_until_all_ended()
    before = launch.memory(worker.pid)
    with watch_memory(worker.pid) as samples:
        _submit_tree(f"memory-{count}", count)
        wait_until_all_ended()
    stack.end(worker)
    peak = max(samples)
    return [
        Note(f"memory of the worker, tree of {count}", f"{peak / MEGABYTE:.0f} MB", peak / MEGABYTE),
        Note("more than before it", f"{(peak - before) / MEGABYTE:.1f} MB", (peak - before) / MEGABYTE),
    ]


@contextmanager
def watch_memory(pid: int) -> Iterator[list[int]]:
    """Sample the memory of a process and its descendants five times a second, and once more at the end."""
    samples: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(OSError):
                samples.append(launch.memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
        samples.append(launch.memory(pid))
