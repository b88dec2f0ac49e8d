"""One tenant never holds all processes of a worker, and what it has to wait for is only its own."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

import pytest
from django.db import connection, connections, transaction

from tasks import engine, fairness
from tasks.command import Command, Done, Result, register, step
from tasks.models import Job, JobStatus
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 20
running: dict[str, threading.Event] = {}
may_end: dict[str, threading.Event] = {}
order: list[str] = []


@register
@dataclass
class Hold(Command):
    """Holds its process until it may end, as a slow host does."""

    name: str
    kind: ClassVar[str] = "tests.hold"
    queue: ClassVar[str] = "deploys"

    @step
    def hold(self) -> Result:
        running[self.name].set()
        assert may_end[self.name].wait(PATIENCE)
        order.append(self.name)
        return Done()


class Processes:
    """A queue of messages, first in, first out, and so many processes that take from it: a worker without Celery."""

    def __init__(self, monkeypatch, count: int) -> None:
        self.messages: deque[str] = deque()
        self.there = threading.Condition()
        self.over = False
        monkeypatch.setattr("tasks.doorbell._send", self.send)
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
        monkeypatch.setattr(fairness, "_processes", count)
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
    assert running["slow-0"].wait(PATIENCE)

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
    monkeypatch.setattr(fairness, "_processes", processes)

    assert fairness.processes_for_tenant("deploys") == most


def test_two_that_claim_at_once_do_not_both_take_the_last_process(worker, monkeypatch):
    """Many times, with real connections: never more than the share is claimed."""
    tenant = TenantFactory()
    monkeypatch.setattr(fairness, "_processes", 4)
    jobs = [ask(f"job-{number}", tenant) for number in range(6)]
    start = threading.Barrier(6)
    taken = []

    def claim(number):
        try:
            connection.ensure_connection()
            start.wait(PATIENCE)
            taken.append(
                engine.claims.take(
                    jobs[number].pk, f"{fairness.socket.gethostname()}:1:{fairness.worker_pid()}.{number}"
                )
            )
        finally:
            connections.close_all()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert sum(one is not None for one in taken) == 2
    assert Job.objects.filter(parked=True).count() == 4


def test_a_dead_workers_claims_and_other_workers_hold_nothing_of_the_share(worker, monkeypatch):
    tenant = TenantFactory()
    monkeypatch.setattr(fairness, "_processes", 2)
    elsewhere, dead, mine = (ask(name, tenant) for name in ["elsewhere", "dead", "mine"])
    assert engine.claims.take(elsewhere.pk, "another-machine:7:7.aa")
    owner = f"{fairness.worker_name().split(':')[0]}:1:{fairness.worker_pid()}.bb"
    assert engine.claims.take(dead.pk, owner)
    Job.objects.filter(pk=dead.pk).update(lease_until="2000-01-01T00:00Z")

    assert engine.claims.take(mine.pk, owner[:-2] + "cc").crowded
    # And the dead one's job, which another process would take up, is parked as it stands.
    assert engine.claims.take(dead.pk, owner[:-2] + "dd") is None
    assert states(dead) == [("running", True)]


def test_one_that_was_cancelled_before_it_began_ends_at_once(worker, monkeypatch):
    tenant = TenantFactory()
    monkeypatch.setattr(fairness, "_processes", 2)
    first, second = ask("first", tenant), ask("second", tenant)
    owner = f"{fairness.worker_name().split(':')[0]}:1:{fairness.worker_pid()}.aa"
    assert engine.claims.take(first.pk, owner)
    engine.advance(second.pk)
    assert states(second) == [("queued", True)]

    engine.cancel(second)
    engine.advance(second.pk)

    assert Job.objects.get(pk=second.pk).status == JobStatus.CANCELLED


def test_a_platforms_job_needs_no_share(worker, monkeypatch):
    monkeypatch.setattr(fairness, "_processes", 2)
    jobs = [ask(f"canary-{number}", None) for number in range(3)]

    taken = [engine.claims.take(job.pk, f"host:1:{fairness.worker_pid()}.{n}") for n, job in enumerate(jobs)]

    assert [one.crowded for one in taken] == [False] * 3
