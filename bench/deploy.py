"""One deployment of 500 instances with the executor `command`, and fifty operators who want the same hosts at once.

What 500 instances are held against is the program itself: as many runs of it, two at once, from a bare loop without
the portal. The operators are in two processes of eight threads, as web processes are.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from portal.embedded import launch

from .figures import Figure, Line, Note, timed
from .stack import REPOSITORY, Stack
from .statements import statements_of
from .tree import MEGABYTE, _watched
from .waiting import until_all_ended

if TYPE_CHECKING:
    from deploys.services.deploying import Plan

INSTANCES = 500
FEWER = 20
BATCH = 100
PROGRAM = ["/bin/true"]
OPERATORS = 50
SHARED_HOSTS = 12
PROCESSES, THREADS = 2, 8


def deploy(stack: Stack) -> list[Line]:
    """Time, statements and memory of a deployment; the longest wait of an operator for another one's lock."""
    os.environ["DEPLOY_PROGRAMS"] = json.dumps({"true": PROGRAM})
    from django.conf import settings

    settings.DEPLOY_PROGRAMS = {"true": PROGRAM}
    lines: list[Line] = []
    few, many = _asked_for(FEWER), _asked_for(INSTANCES)
    lines += [
        Note(f"to ask for {FEWER}: statements", str(few[1]), few[1]),
        Note(f"to ask for {INSTANCES}: statements", str(many[1]), many[1]),
        Note(f"to ask for {INSTANCES}", f"{many[0] * 1000:.0f} ms", many[0] * 1000),
    ]
    each = (_worked(FEWER * 3) - _worked(FEWER)) / (FEWER * 2)
    lines.append(Note("statements an instance, from the order to its end", f"{each:.1f}", each))
    alone = timed(_bare_loop)

    worker = stack.worker("deploys", concurrency=2, include="deploys.commands")
    _ask(_service(10), 10)
    until_all_ended()
    before = launch.memory(worker.pid)
    service = _service(INSTANCES)
    with _watched(worker.pid) as seen:
        began = time.perf_counter()
        _ask(service, BATCH)
        until_all_ended(600)
        taken = time.perf_counter() - began
    stack.end(worker)
    lines += [
        Figure(
            f"{INSTANCES} instances, {BATCH} a batch, two at once",
            f"{taken:.1f} s",
            f"{alone:.1f} s for the program alone",
            taken / alone,
            3,
            "at most",
        ),
        Note("memory of the worker", f"{max(seen) / MEGABYTE:.0f} MB", max(seen) / MEGABYTE),
        Note(
            "more than before it",
            f"{(max(seen) - before) / MEGABYTE:.1f} MB",
            (max(seen) - before) / MEGABYTE,
        ),
    ]
    return lines + _operators()


def _service(count: int, versions: int = 2) -> Any:
    """A service in its first version on so many hosts, with more versions above that."""
    from deploys.models import Host, MicroService, MicroServiceInstance, MicroServiceVersion
    from tenants.models import InformationSystem, Tenant

    number = Tenant.objects.count()
    tenant = Tenant.objects.create(name=f"Bench {number}", slug=f"bench-{number}")
    service = MicroService.objects.create(
        information_system=InformationSystem.objects.create(tenant=tenant, name="Shop"),
        name="shop",
        folder="/srv/shop",
        port=8080,
        executor="command",
        executor_settings={"program": "true"},
    )
    built = MicroServiceVersion.objects.bulk_create(
        MicroServiceVersion(
            service=service,
            label=f"{n + 1}.0",
            number=n + 1,
            build_status="success",
            artifact_url="https://store.example.org/shop.tar.gz",
            sha256="0" * 64,
        )
        for n in range(versions)
    )
    hosts = Host.objects.bulk_create(
        Host(tenant=tenant, hostname=f"web-{n}", ip=f"10.0.{n // 250}.{n % 250 + 1}") for n in range(count)
    )
    MicroServiceInstance.objects.bulk_create(
        MicroServiceInstance(service=service, version=built[0], host=host, port=8080, status="running")
        for host in hosts
    )
    return service


def _ask(service: Any, batch: int) -> Plan:
    """An operator upgrades all of them to the second version."""
    from deploys.services import deploying
    from portal.api.scoping import Role, Scope
    from tenants.models import User

    tenant = service.information_system.tenant
    user, _made = User.objects.get_or_create(username=f"operator-{tenant.slug}")
    first, second = service.versions.order_by("number")[:2]
    return deploying.deploy(
        scope=Scope(user, tenant, Role.OPERATOR),
        service_id=service.pk,
        version_id=first.pk,
        action="upgrade",
        wish=deploying.Wish(second.pk, "all", deploying.Strategy(batch=batch)),
    )


def _asked_for(count: int) -> tuple[float, int]:
    """Seconds and statements of a request; then it is cancelled."""
    from tasks import engine

    _ask(_service(1), 1)
    service = _service(count)
    plans: list[Plan] = []
    began = time.perf_counter()
    counted = statements_of(lambda: plans.append(_ask(service, BATCH)))
    taken = time.perf_counter() - began
    assert plans[0].job is not None
    engine.cancel(plans[0].job)
    _advance_all()
    return taken, counted.work


def _worked(count: int) -> int:
    """Statements of a worker for a whole deployment in one batch."""
    _ask(_service(count), count)
    return statements_of(_advance_all).work


def _advance_all() -> None:
    from tasks import engine
    from tasks.models import IN_FLIGHT, Job

    while ids := list(
        Job.objects.filter(status__in=IN_FLIGHT).order_by("created_at").values_list("pk", flat=True)
    ):
        for job_id in ids:
            engine.advance(job_id)


def _bare_loop() -> None:
    """The program, as often, by the executor without the portal around it."""
    from deploys.executors import Order, Release, Target, executor_of

    executor = executor_of("command", {"programs": {"true": PROGRAM}, "allow_local": True})
    release = Release("2.0", "https://store.example.org/shop.tar.gz", "0" * 64)

    def once(number: int) -> None:
        target = Target(f"web-{number}", "10.0.0.1", "deploy", "shop", 8080, "/srv/shop")
        assert executor.deploy(Order(target, release, settings={"program": "true"}), lambda _line: None).ok

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(once, range(INSTANCES)))


# --- Fifty operators ---------------------------------------------------------------------------------------


def _operators() -> list[Line]:
    """Fifty operators want four of twelve hosts each, a version of his own each, as soon as all are ready."""
    from deploys.models import MicroServiceInstance
    from tasks.models import EntityLock

    service = _service(SHARED_HOSTS, OPERATORS + 1)
    mine = [range(process, OPERATORS, PROCESSES) for process in range(PROCESSES)]
    people = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.deploy_operators", str(service.pk), *map(str, numbers)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for numbers in mine
    ]
    for one in people:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    over, seen = Event(), [0.0]
    watch = Thread(target=_watch_locks, args=(over, seen))
    watch.start()
    answers = [json.loads(one.communicate("go\n", timeout=120)[0]) for one in people]
    over.set()
    watch.join()
    told = [code for answer in answers for code in answer]
    assert set(told) <= {"accepted", "locked"}, told
    _advance_all()
    held = MicroServiceInstance.objects.filter(service=service, locked=True).count()
    assert (held, EntityLock.objects.count()) == (0, 0)
    return [
        Note("operators at once who were accepted", str(told.count("accepted")), told.count("accepted")),
        Figure(
            f"{OPERATORS} operators at once: longest wait for a lock",
            f"{max(seen) * 1000:.0f} ms",
            "100 ms",
            max(seen) / 0.1,
            1,
            "at most",
        ),
    ]


def wishes(numbers: list[int]) -> dict[int, list[int]]:
    """Which of the shared hosts each of these operators wants."""
    return {number: random.Random(number).sample(range(SHARED_HOSTS), 4) for number in numbers}


def _watch_locks(over: Event, seen: list[float]) -> None:
    """Look all the time for how long anybody has been waiting for a lock of the database."""
    from django.db import connection

    with connection.cursor() as cursor:
        while not over.is_set():
            cursor.execute(
                "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks"
                " WHERE NOT granted"
            )
            seen.append(float(cursor.fetchone()[0]))
            time.sleep(0.001)
    connection.close()
