"""Trees of 1,000 children of one step, against as many jobs of one step that nobody is the parent of.

No limit for them is in the table of benchmarks; the one here is ours: a child costs at most twice what a job alone
costs, as its end also counts at its parent and lets the next one go.
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

from .figures import Figure, Line, Note, timed
from .stack import Stack
from .statements import Statements, statements_of
from .waiting import until_all_ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.models import Job

CHILDREN = 1000
FEWER = 100
AT_ONCE = 50
MEGABYTE = 1024 * 1024


def tree(stack: Stack) -> list[Line]:
    """Throughput, statements a child, memory, reading a tree, and taking one back."""
    lines: list[Line] = []
    few, some = _statements(20), _statements(120)
    each = (some.work - few.work) / 100
    lines += [
        Note("statements a child, from birth to end", f"{each:.2f}", each),
        Note("round trips a child", f"{(some.round_trips - few.round_trips) / 100:.2f}",
             (some.round_trips - few.round_trips) / 100),
        Note("commits a child, claims not counted", f"{(some.commits - few.commits) / 100:.2f}",
             (some.commits - few.commits) / 100),
        *_reading(),
    ]  # fmt: skip
    _drain(stack)

    worker = stack.worker("jobs,polling", concurrency=2)
    _grow("warm", FEWER)
    until_all_ended()
    # In turns, as the machine is not equally busy all the time.
    alone, grown = [], []
    for turn in range(3):
        alone.append(timed(partial(_to_the_end, partial(_alone, f"alone-{turn}"))))
        grown.append(timed(partial(_to_the_end, partial(_grow, f"grown-{turn}", CHILDREN))))
    limit, taken = statistics.median(alone), statistics.median(grown)
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
    lines += _taking_back()
    stack.end(worker)
    for count in (FEWER, CHILDREN):
        lines += _memory(stack, count)
    return lines


def _to_the_end(submit: Callable[[], object]) -> None:
    submit()
    until_all_ended()


def _grow(key: str, count: int, *, fails: bool = False) -> Job:
    from django.db import transaction

    from tasks import engine

    from .commands import Tree

    with transaction.atomic():
        return engine.submit(Tree(key, count, AT_ONCE, fails)).job


def _alone(key: str) -> None:
    """As many jobs, recorded by one transaction too."""
    from django.db import transaction

    from tasks import engine

    from .commands import OneStep

    with transaction.atomic():
        engine.submit_many([engine.Spec(OneStep(f"{key}-{number}")) for number in range(CHILDREN)])


def _drain(stack: Stack) -> None:
    """Let a worker hear the rings of what this process has done, so that they are in nobody's way later."""
    worker = stack.worker("jobs,polling", concurrency=2)
    until_all_ended()
    time.sleep(2)
    stack.end(worker)


# --- In this process ---------------------------------------------------------------------------------------


def _children(parent: Job) -> list[Any]:
    """Their ids in the order in which they are let go."""
    return list(parent.children.order_by("position").values_list("pk", flat=True))


def _statements(count: int) -> Statements:
    """What a whole tree sends; the difference between two sizes is what a child costs."""
    from tasks import engine
    from tasks.models import Job

    parent = _grow(f"counted-{count}", count)
    children: list[Any] = []

    def spawn() -> None:
        engine.advance(parent.pk)

    def advance() -> None:
        for child in children:
            engine.advance(child)
        engine.advance(parent.pk)

    spawned = statements_of(spawn)
    children += _children(parent)
    advanced = statements_of(advance)
    assert Job.objects.get(pk=parent.pk).status == "succeeded"
    return Statements(
        spawned.work + advanced.work, spawned.begins + advanced.begins, spawned.commits + advanced.commits
    )


def _reading() -> list[Note]:
    """`GET /api/v1/jobs/{id}/` of a tree of which half is done."""
    from rest_framework.test import APIClient

    from api.models import ApiToken
    from tasks import engine
    from tenants.models import User

    user = User.objects.create_user("bench", is_staff=True, is_superuser=True)
    _token, secret = ApiToken.objects.create(user=user, name="bench", expiry=None)
    browser = APIClient(SERVER_NAME="localhost", HTTP_AUTHORIZATION=f"Token {secret}")
    notes = []
    for count in (FEWER, CHILDREN):
        parent = _grow(f"read-{count}", count)
        engine.advance(parent.pk)
        for child in _children(parent)[: count // 2]:
            engine.advance(child)
        get = partial(browser.get, f"/api/v1/jobs/{parent.pk}/")
        get()
        taken = statistics.median(timed(get) for _ in range(20))
        counted = statements_of(get)
        answer = get()
        assert answer.status_code == 200
        shown = answer.json()
        assert (shown["progress"], len(shown["children"])) == (50, 100), shown["progress"]
        notes += [
            Note(f"GET of a tree of {count}, half done", f"{taken * 1000:.0f} ms", taken * 1000),
            Note(f"GET of a tree of {count}: statements", str(counted.work), counted.work),
        ]
    return notes


# --- With workers ------------------------------------------------------------------------------------------


def _taking_back() -> list[Note]:
    """A tree whose last child fails: all that succeeded is taken back before the parent is failed."""
    from tasks.models import Job, Step

    parent = _grow("fails", CHILDREN, fails=True)
    seconds = timed(until_all_ended)
    parent.refresh_from_db()
    children = Counter(parent.children.values_list("status", "outcome_code"))
    steps = Counter(Step.objects.filter(job__parent=parent).values_list("status", flat=True))
    assert parent.status == "failed", parent.status
    assert steps["undone"] + steps["skipped"] + steps["failed"] == CHILDREN, steps
    assert not Job.objects.filter(pk=parent.pk, locks__isnull=False).exists()
    print(f"  taken back: children {dict(children)}, their steps {dict(steps)}")
    return [
        Note(f"a tree of {CHILDREN} that fails at its last", f"{seconds:.1f} s", seconds),
        Note("of those taken back", str(steps["undone"]), steps["undone"]),
    ]


def _memory(stack: Stack, count: int) -> list[Note]:
    """The most that a worker, new for it, and its two processes use while they do a tree."""
    worker = stack.worker("jobs,polling", concurrency=2)
    _grow(f"memory-warm-{count}", 10)
    until_all_ended()
    before = launch.memory(worker.pid)
    with _watched(worker.pid) as seen:
        _grow(f"memory-{count}", count)
        until_all_ended()
    stack.end(worker)
    most = max(seen)
    return [
        Note(f"memory of the worker, tree of {count}", f"{most / MEGABYTE:.0f} MB", most / MEGABYTE),
        Note("more than before it", f"{(most - before) / MEGABYTE:.1f} MB", (most - before) / MEGABYTE),
    ]


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """Note a process's memory five times a second, and once more at the end."""
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            with suppress(OSError):
                seen.append(launch.memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen.append(launch.memory(pid))
