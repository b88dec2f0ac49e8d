"""One deployment of 500 instances with the executor `command`, and fifty operators that request the same hosts at once.

The limit of the 500 instances is the program itself: as many runs of it, two at once, from a bare loop without the portal.
The operators are in `deploy_operators`.
"""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from devserver import launch

from .deploy_operators import get_programs, measure_operators
from .deploy_service import create_service
from .figures import Figure, Line, Note, measure
from .stack import Stack
from .statements import count_statements
from .tree import MEGABYTE, watch_memory
from .waiting import wait_until_all_ended

if TYPE_CHECKING:
    from deploys.models import MicroService
    from deploys.services.deployments import Plan

INSTANCES = 500
FEWER = 20
BATCH = 100
PROGRAM = ["/bin/true"]


def measure_deployments(stack: Stack) -> list[Line]:
    """Measure time, statements and memory of a deployment, and the longest wait of an operator for a lock."""
    programs = {"true": PROGRAM, **get_programs(stack)}
    os.environ["DEPLOY_PROGRAMS"] = json.dumps(programs)
    from django.conf import settings

    settings.DEPLOY_PROGRAMS = programs
    lines: list[Line] = []
    few, many = _measure_request(FEWER), _measure_request(INSTANCES)
    lines += [
        Note(f"request for {FEWER}: statements", str(few[1]), few[1]),
        Note(f"request for {INSTANCES}: statements", str(many[1]), many[1]),
        Note(f"request for {INSTANCES}", f"{many[0] * 1000:.0f} ms", many[0] * 1000),
    ]
    each = (_count_statements(FEWER * 3) - _count_statements(FEWER)) / (FEWER * 2)
    lines.append(Note("statements an instance, from the order to its end", f"{each:.1f}", each))
    alone = measure(_run_bare_loop)

    # As many processes as the portal's own worker has, of which one tenant holds half (`TENANT_WORKER_SHARES`): two at once.
    worker = stack.start_worker("deploys", concurrency=4, include="deploys.commands")
    _request(_create_service(10), 10)
    wait_until_all_ended()
    before = launch.memory(worker.pid)
    service = _create_service(INSTANCES)
    with watch_memory(worker.pid) as samples:
        began = time.perf_counter()
        _request(service, BATCH)
        wait_until_all_ended(600)
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
        Note("memory of the worker", f"{max(samples) / MEGABYTE:.0f} MB", max(samples) / MEGABYTE),
        Note(
            "more than before it",
            f"{(max(samples) - before) / MEGABYTE:.1f} MB",
            (max(samples) - before) / MEGABYTE,
        ),
    ]
    return lines + measure_operators(stack)


def _create_service(count: int) -> MicroService:
    """Create a service whose first version runs on this many hosts, with a second version."""
    from tenants.models import Tenant

    slug = f"bench-{Tenant.objects.count()}"
    return create_service(slug, labels=("1.0", "2.0"), hosts=count, program="true")


def _request(service: Any, batch: int) -> Plan:
    """Request the upgrade of all instances to the second version, as an operator."""
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


def _measure_request(count: int) -> tuple[float, int]:
    """Return seconds and statements of a request, and cancel the deployment."""
    from tasks import engine

    _request(_create_service(1), 1)
    service = _create_service(count)
    plans: list[Plan] = []
    began = time.perf_counter()
    counted = count_statements(lambda: plans.append(_request(service, BATCH)))
    taken = time.perf_counter() - began
    assert plans[0].job is not None
    engine.cancel(plans[0].job)
    _advance_all()
    return taken, counted.work


def _count_statements(count: int) -> int:
    """Count the statements of a worker for a whole deployment in one batch."""
    _request(_create_service(count), count)
    return count_statements(_advance_all).work


def _advance_all() -> None:
    from tasks import engine
    from tasks.models import IN_FLIGHT, Job

    while ids := list(
        Job.objects.filter(status__in=IN_FLIGHT).order_by("created_at").values_list("pk", flat=True)
    ):
        for job_id in ids:
            engine.advance(job_id)


def _run_bare_loop() -> None:
    """Run the program as often by the executor, without the portal."""
    from deploys.executors import Order, Release, Target, create_executor

    executor = create_executor("command", {"programs": {"true": PROGRAM}, "allow_local": True})
    release = Release("2.0", "https://store.example.org/shop.tar.gz", "0" * 64)

    def run_once(number: int) -> None:
        target = Target(f"web-{number}", "10.0.0.1", "deploy", "shop", 8080, "/srv/shop")
        assert executor.deploy(Order(target, release, settings={"program": "true"}), lambda _line: None).ok

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run_once, range(INSTANCES)))
