"""One tenant never holds all processes of a worker, and what it has to wait for is only its own."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import pytest
from django.db import connections, transaction

from tasks import engine, fairness
from tasks.command import Command, Done, Result, register, step
from tasks.models import Job, JobStatus, Step
from tests.factories import TenantFactory
from tests.working import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 30
running: dict[str, threading.Event] = {}
may_end: dict[str, threading.Event] = {}
order: list[str] = []


@register
@dataclass
class Hold(Command):
    """Holds its process wait_for it may end, as a slow host does."""

    name: str
    kind: ClassVar[str] = "tests.hold"
    queue: ClassVar[str] = "deploys"

    @step
    def hold(self) -> Result:
        running[self.name].set()
        assert may_end[self.name].wait(3 * PATIENCE)
        order.append(self.name)
        return Done()


class Processes:
    """A queue of messages, first in, first out, and so many processes that take from it: a worker without Celery."""

    def __init__(self, monkeypatch, count: int) -> None:
        self.messages: deque[str] = deque()
        self.there = threading.Condition()
        self.over = False
        monkeypatch.setattr("tasks.dispatch._send", self.send)
        self.threads = [threading.Thread(target=self.run) for _number in range(count)]
        for thread in self.threads:
            thread.start()

    def send(self, task, calls, after, queue=None):
        with self.there:
            self.messages.extend(args[0] for args in calls if task == "tasks.advance")
            self.there.notify_all()

    def run(self):
        try:
            while True:
                with self.there:
                    self.there.wait_for(lambda: self.over or self.messages, PATIENCE)
                    if not self.messages:
                        return
                    job_id = self.messages.popleft()
                engine.advance(job_id)
        finally:
            connections.close_all()

    def end(self):
        for event in may_end.values():
            event.set()
        with self.there:
            self.over = True
            self.there.notify_all()
        for thread in self.threads:
            thread.join(PATIENCE)


@pytest.fixture
def worker(monkeypatch):
    """Start a worker of so many processes."""
    started = []

    def start(count: int) -> Processes:
        monkeypatch.setattr(fairness, "_slots", fairness.SlotTable(count))
        started.append(Processes(monkeypatch, count))
        return started[-1]

    running.clear(), may_end.clear(), order.clear()
    yield start
    for processes in started:
        processes.end()


def ask(name, tenant):
    running[name], may_end[name] = threading.Event(), threading.Event()
    with transaction.atomic():
        return engine.submit(Hold(name), tenant=tenant).job


def states(*jobs):
    return [Job.objects.values_list("status", "parked").get(pk=job.pk) for job in jobs]


def test_another_tenants_job_ends_while_all_of_the_slow_ones_still_hold(worker):
    slow, other = TenantFactory(), TenantFactory()
    worker(2)
    held = [ask(f"slow-{number}", slow) for number in range(20)]
    # Which of the first two takes the place is chance.
    wait_for("one of them runs", lambda: any(event.is_set() for event in running.values()), PATIENCE)

    quick = ask("quick", other)
    assert running["quick"].wait(PATIENCE)
    may_end["quick"].set()
    while Job.objects.get(pk=quick.pk).status != JobStatus.SUCCEEDED:
        assert threading.Event().wait(0.01) is False

    assert order == ["quick"]
    assert sum(event.is_set() for name, event in running.items() if name != "quick") == 1
    # The others were parked, and go on one by one as each gives its process back.
    for number in range(20):
        may_end[f"slow-{number}"].set()
    for job in held:
        while Job.objects.get(pk=job.pk).status != JobStatus.SUCCEEDED:
            assert threading.Event().wait(0.01) is False
    assert not Job.objects.filter(parked=True).exists()


def test_a_job_that_is_parked_while_another_process_finds_none_is_noted():
    """A second process takes the slot meanwhile, and has to dispatch the job when it releases the slot."""
    table, key = fairness.SlotTable(2), 7
    free, note = table.count_available(key, 1)
    assert free == 1
    assert table.acquire(key, 1)
    assert table.count_available(key, 1)[0] == 0

    table.clear_note(key, note)

    assert table.release(key) is True
    assert table.release(key) is False


def test_a_note_after_a_release_is_another_one():
    table, key = fairness.SlotTable(2), 7
    _free, note = table.count_available(key, 1)
    assert table.release(key) is True
    table.count_available(key, 1)

    table.clear_note(key, note)

    assert table.release(key) is True


def test_a_note_that_nothing_has_changed_is_cleared():
    table, key = fairness.SlotTable(2), 7
    for _time in range(600):
        _free, note = table.count_available(key, 1)
        assert 0 < note < 256
    table.clear_note(key, note)

    assert table.release(key) is False


def test_without_shares_the_slow_ones_hold_all(worker, settings):
    """What the others are for: with the shares off, another tenant's job waits for the slow ones."""
    settings.TENANT_WORKER_SHARES = {"": 1}
    slow, other = TenantFactory(), TenantFactory()
    worker(2)
    for number in range(3):
        ask(f"slow-{number}", slow)
    assert running["slow-0"].wait(PATIENCE)
    assert running["slow-1"].wait(PATIENCE)

    ask("quick", other)
    may_end["quick"].set()

    assert not running["quick"].wait(0.3)
    assert order == []


@pytest.mark.parametrize(
    ("processes", "share", "most"),
    [
        (1, 0.5, None),
        (2, 0.5, 1),
        (3, 0.5, 1),
        (8, 0.5, 4),
        (4, 0.75, 3),
        (8, 0, 1),
        (8, 1, None),
        (None, 0.5, None),
    ],
)
def test_a_share_is_at_least_one_process_and_none_where_there_is_nothing_to_share(
    monkeypatch, settings, processes, share, most
):
    settings.TENANT_WORKER_SHARES = {"": share}
    monkeypatch.setattr(fairness, "_slots", None)
    fairness.init_worker_slots(processes)

    assert fairness.slot_limit("deploys") == most


def test_two_that_come_at_once_do_not_both_take_the_last_place():
    """Real processes, as a worker has them, that share its memory."""
    slots = fairness.SlotTable(4)
    ready, go, stay = os.pipe(), os.pipe(), os.pipe()
    children = []
    for _number in range(6):
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"r")
            os.read(go[0], 1)
            took = slots.acquire(7, 2)
            os.write(ready[1], b"y" if took else b"n")
            os.read(stay[0], 1)
            os._exit(0)
        children.append(child)
    assert read(ready[0], 6) == b"r" * 6
    os.write(go[1], b"g" * 6)

    assert sorted(read(ready[0], 6)) == sorted(b"yynnnn")
    # A process that is killed holds nothing.
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert [slots.acquire(7, 2) for _number in range(3)] == [True, True, False]


def read(descriptor, count):
    found = b""
    while len(found) < count:
        found += os.read(descriptor, count - len(found))
    return found


@pytest.fixture
def held(worker, monkeypatch):
    """The tenant that holds its share of a worker of two processes: one."""
    tenant = TenantFactory()
    monkeypatch.setattr(fairness, "_slots", fairness.SlotTable(2))
    assert fairness.acquire_slot(tenant.pk, "deploys")
    return tenant


def test_one_that_is_parked_is_as_it_was(held):
    """Also one whose worker has died in its step: that it may have had an effect stays known."""
    new, died = ask("new", held), ask("died", held)
    Job.objects.filter(pk=died.pk).update(
        status="running",
        owner="dead",
        lease_until="2000-01-01T00:00Z",
        attempt=1,
        started_at="2000-01-01T00:00Z",
    )
    Step.objects.filter(job=died).update(started_at="2000-01-01T00:00Z")

    engine.advance(new.pk)
    engine.advance(died.pk)

    found = Job.objects.filter(pk__in=[new.pk, died.pk]).order_by("created_at")
    assert [(job.status, job.parked, job.owner, job.attempt, job.started_at is None) for job in found] == [
        ("waiting", True, "", 0, True),
        ("waiting", True, "", 1, False),
    ]
    fairness.release_slot(held.pk, "deploys")
    assert not Job.objects.filter(parked=True).order_by("created_at")[1:].exists()


def test_one_that_was_cancelled_before_it_began_ends_at_once(held):
    job = ask("parked", held)
    engine.advance(job.pk)
    assert states(job) == [("waiting", True)]

    engine.cancel(job)
    engine.advance(job.pk)

    assert Job.objects.get(pk=job.pk).status == JobStatus.CANCELLED


def test_a_platforms_job_needs_no_place_and_a_tenants_other_queue_has_its_own(held):
    for _number in range(5):
        assert fairness.acquire_slot(None, "deploys")
    assert fairness.acquire_slot(held.pk, "")
    assert not fairness.acquire_slot(held.pk, "deploys")
