"""200 clients on one VM, and on 200 VMs, compared with a bare authenticated view on the same server."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .cloud import call_control_api, create_vms
from .figures import Figure, percentile
from .stack import Stack

if TYPE_CHECKING:
    from vms.models import VirtualMachine

CLIENTS = 200


def _send_at_once(
    base: str, token: str, requests_: Sequence[tuple[str, Mapping[str, object]]]
) -> tuple[float, Counter[int], list[dict[str, Any]]]:
    """Send all requests at the same moment, each on its own connection; return seconds, statuses and bodies."""
    address = urlsplit(base)
    start = threading.Barrier(len(requests_) + 1)
    statuses: Counter[int] = Counter()
    bodies: list[dict[str, Any]] = []
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}

    def send(path: str, body: Mapping[str, object]) -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        connection.connect()
        start.wait()
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        statuses[answer.status] += 1
        bodies.append(json.loads(text))
        connection.close()

    threads = [threading.Thread(target=send, args=request) for request in requests_]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, statuses, bodies


def measure_control(stack: Stack) -> list[Figure]:
    """Measure the throughput, the actions in the cloud, and how long the row is locked."""
    from api.models import ApiToken
    from tasks.models import IN_FLIGHT, Job
    from tenants.models import Membership, User
    from tenants.scoping import Role, Scope
    from vms.services import control_vm

    simulator = stack.start_simulator()
    vms = create_vms(simulator, "control", CLIENTS + 1, status="SHUTOFF")
    call_control_api(simulator, "POST", "clock", {"action_seconds": 0.5})
    tenant = vms[0].information_system.tenant
    user = User.objects.create_user("control")
    Membership.objects.create(user=user, tenant=tenant, role=Role.OPERATOR)
    _token, secret = ApiToken.objects.create(user=user, name="bench", expiry=None)
    base = stack.start_web()
    path = "/api/v1/vms/{}/actions/"

    def wait_for_jobs() -> None:
        while Job.objects.filter(status__in=IN_FLIGHT).exists():
            time.sleep(0.05)

    bare = [("/api/v1/bench/bare/", {"n": number}) for number in range(CLIENTS)]
    for _ in range(2):
        _send_at_once(base, secret, bare)
    limit = sorted(_send_at_once(base, secret, bare)[0] for _ in range(5))[2]

    # The worker starts after the measurement, so that the ratio is that of the requests alone.
    same_vm = [(path.format(vms[0].pk), {"action": "start"})] * CLIENTS
    one_seconds, one_statuses, one_bodies = _send_at_once(base, secret, same_vm)
    many = [(path.format(vm.pk), {"action": "start"}) for vm in vms[1:]]
    many_seconds, many_statuses, _bodies = _send_at_once(base, secret, many)
    worker = stack.start_worker("jobs,polling", concurrency=4)
    wait_for_jobs()
    counts = call_control_api(simulator, "GET", "requests")["counts"]["objects"]
    accepted = counts[vms[0].openstack_id]["os-start"]["accepted"]
    job_ids = {body["job"]["id"] for body in one_bodies}
    all_once = all(counts[vm.openstack_id]["os-start"]["accepted"] == 1 for vm in vms[1:])
    print(
        f"  one VM: {dict(one_statuses)}, {len(job_ids)} job(s); 200 VMs: {dict(many_statuses)}, once each: {all_once}"
    )

    # With the worker: from the first click until the last of 200 servers is stopped.
    stop = [(path.format(vm.pk), {"action": "stop"}) for vm in vms[1:]]
    began = time.perf_counter()
    _send_at_once(base, secret, stop)
    wait_for_jobs()
    print(f"  200 stops, from the first click to the last job's end: {time.perf_counter() - began:.1f} s")
    stack.end(worker)

    scope = Scope(user, tenant, Role.OPERATOR)
    held = _measure_locks(partial(control_vm, scope=scope, action="start"), vms[1:])
    return [
        Figure("cloud actions for 200 clicks on one VM", str(accepted), "1", accepted, 1, "at most"),
        Figure(
            "one VM, 200 clients",
            f"{CLIENTS / one_seconds:.0f}/s",
            f"{CLIENTS / limit:.0f}/s bare view",
            limit / one_seconds,
            0.35,
            "at least",
        ),
        Figure(
            "200 VMs, 200 clients",
            f"{CLIENTS / many_seconds:.0f}/s",
            f"{CLIENTS / limit:.0f}/s bare view",
            limit / many_seconds,
            0.35,
            "at least",
        ),
        Figure(
            "row lock held, p99",
            f"{percentile(held, 0.99):.1f} ms",
            "20 ms",
            percentile(held, 0.99),
            20,
            "at most",
        ),
    ]


def _measure_locks(click: Callable[..., object], vms: Sequence[VirtualMachine]) -> list[float]:
    """Return the milliseconds from the row's lock to the commit, for one click after another."""
    from django.db import connection

    held: list[float] = []
    since: list[float] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        result = execute(sql, params, many, context)
        if "FOR UPDATE" in sql:
            since[:] = [time.perf_counter()]
        return result

    for vm in vms:
        with connection.execute_wrapper(watch):
            click(vm_id=vm.pk)
        held.append((time.perf_counter() - since[0]) * 1000)
    return held
