"""One deployment of 500 instances with the executor `command`, and fifty operators who want the same hosts at once.

What 500 instances are held against is the program itself: as many runs of it, two at once, from a bare loop without
the portal. The operators, and what is asked of them, are in `deploy_operators`.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from devserver import launch

from .deploy_operators import operators, programs
from .deploy_service import make_service
from .figures import Figure, Line, Note, timed
from .stack import Stack
from .statements import statements_of
from .tree import MEGABYTE, _watched
from .waiting import until_all_ended

if TYPE_CHECKING:
    from deploys.models import MicroService
    from deploys.services.deployments import Plan

INSTANCES = 500
FEWER = 20
BATCH = 100
PROGRAM = ["/bin/true"]


def deploy(stack: Stack) -> list[Line]:
    """Time, statements and memory of a deployment; the longest wait of an operator for another one's lock."""
    known = {"true": PROGRAM, **programs(stack)}
    os.environ["DEPLOY_PROGRAMS"] = json.dumps(known)
    from django.conf import settings

    settings.DEPLOY_PROGRAMS = known
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
    return lines + operators(stack)


def _service(count: int) -> MicroService:
    """A service in its first version on so many hosts, with another version above that."""
    from tenants.models import Tenant

    slug = f"bench-{Tenant.objects.count()}"
    return make_service(slug, labels=("1.0", "2.0"), hosts=count, program="true")


def _ask(service: Any, batch: int) -> Plan:
    """An operator upgrades all of them to the second version."""
    from deploys.services import deployments
    from tenants.models import User
    from tenants.scoping import Role, Scope

    tenant = service.information_system.tenant
    user, _made = User.objects.get_or_create(username=f"operator-{tenant.slug}")
    first, second = service.versions.order_by("number")[:2]
    return deployments.deploy(
        scope=Scope(user, tenant, Role.OPERATOR),
        service_id=service.pk,
        version_id=first.pk,
        action="upgrade",
        params=deployments.DeployParams(second.pk, "all", deployments.Strategy(batch=batch)),
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
    from deploys.executors import Order, Release, Target, create_executor

    executor = create_executor("command", {"programs": {"true": PROGRAM}, "allow_local": True})
    release = Release("2.0", "https://store.example.org/shop.tar.gz", "0" * 64)

    def once(number: int) -> None:
        target = Target(f"web-{number}", "10.0.0.1", "deploy", "shop", 8080, "/srv/shop")
        assert executor.deploy(Order(target, release, settings={"program": "true"}), lambda _line: None).ok

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(once, range(INSTANCES)))
