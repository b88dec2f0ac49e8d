"""`python -m bench.deploy_operators SERVICE NUMBER ...`: operators of the benchmark `deploy`, in a process of their own.

It says "ready", waits for a line, lets all of them deploy at once, and prints what each was told, as JSON.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import django

from .deploy import THREADS, wishes


def main(service_id: str, numbers: list[int]) -> None:
    """Deploy with as many threads as a web process has."""
    django.setup()
    from django.db import connection

    from deploys.models import Host, MicroService
    from deploys.services import deploying
    from portal.api.errors import Refused
    from portal.api.scoping import Role, Scope
    from tenants.models import User

    service = MicroService.objects.select_related("information_system__tenant").get(pk=service_id)
    tenant = service.information_system.tenant
    versions = list(service.versions.order_by("number"))
    hosts = list(Host.objects.filter(tenant=tenant).order_by("pk"))
    wanted = wishes(numbers)
    scopes = {
        number: Scope(User.objects.create(username=f"operator-{service_id}-{number}"), tenant, Role.OPERATOR)
        for number in numbers
    }
    together = Barrier(THREADS)

    def connect(_thread: int) -> None:
        connection.ensure_connection()
        together.wait(30)

    def ask(number: int) -> str:
        wish = deploying.Wish(versions[number + 1].pk, [hosts[n].pk for n in wanted[number]])
        try:
            deploying.deploy(
                scope=scopes[number],
                service_id=service.pk,
                version_id=versions[0].pk,
                action="upgrade",
                wish=wish,
            )
        except Refused as refused:
            return str(refused.code)
        return "accepted"

    with ThreadPoolExecutor(THREADS) as people:
        list(people.map(connect, range(THREADS)))
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(list(people.map(ask, numbers))))


if __name__ == "__main__":
    main(sys.argv[1], [int(number) for number in sys.argv[2:]])
