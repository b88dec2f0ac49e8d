"""The VM list, page by page through the web server, of a tenant with 1,000 VMs and of one with 100,000.

Both are asked in turns, each by a web server on a database of its own: the small one must not have to wade through
the rows of the large one, and the machine is not equally busy all the time. No cloud is needed: the rows are seeded.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from .figures import Figure, Line, Note, percentile, timed
from .stack import Stack
from .statements import statements_of

if TYPE_CHECKING:
    from tenants.models import User

FEW = 1_000
MANY = 100_000
SYSTEMS = 20
ACCOUNTS = 4
TIMES = 30
PATH = "/api/v1/vms/"
STATUSES = ("running",) * 6 + ("stopped",) * 3 + ("error",)


def listing(stack: Stack) -> list[Line]:
    """95th percentile of every way to ask for a page, and that it takes the same number of statements."""
    from django.db import connection

    from api.models import ApiToken
    from tenants.models import Membership, Tenant, User
    from tenants.scoping import Role

    tenant = Tenant.objects.create(name="Listing", slug="listing")
    user = User.objects.create_user("listing")
    Membership.objects.create(user=user, tenant=tenant, role=Role.OPERATOR)
    _token, secret = ApiToken.objects.create(user=user, name="bench", expiry=None)
    _seed(tenant.pk, 0, FEW)
    questions = _questions()
    counted = {name: statements_of(partial(_ask_here, user, query)).work for name, query in questions}
    few = _copied(stack)
    _seed(tenant.pk, FEW, MANY - FEW)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    many = stack.web(workers=1)
    lines: list[Line] = []
    for name, query in questions:
        now = statements_of(partial(_ask_here, user, query)).work
        assert now == counted[name], (name, counted[name], now)
        lines += _compare(name, f"{PATH}?{query}", (few, many), secret)
    lines.append(Note("statements of a page", _shown(counted), max(counted.values())))
    return lines


def _questions() -> list[tuple[str, str]]:
    """Every way to ask that the benchmark knows, with its query."""
    from cloudaccounts.models import CloudAccount
    from tenants.models import InformationSystem

    system = InformationSystem.objects.get(tenant__slug="listing", name="System 07")
    account = CloudAccount.objects.get(name="listing 2")
    asked: dict[str, dict[str, object]] = {
        "first page": {},
        "10th page": {"page": 10},
        "status": {"status": "stopped"},
        "two statuses": {"status": ["stopped", "error"]},
        "information system": {"information_system": str(system.pk)},
        "account": {"account": account.pk},
        "search, one is found": {"search": "000000000777"},
        "search, 1 % is found": {"search": "vm-00"},
        "search, all are found": {"search": "shop"},
        "search, two words": {"search": "vm-00 system"},
        "search, none is found": {"search": "nowhere"},
        "newest first": {"ordering": "-created_at"},
        "by address": {"ordering": "ip_address"},
        "by status": {"ordering": "status"},
        "all at once": {
            "status": "running",
            "information_system": str(system.pk),
            "account": account.pk,
            "search": "vm-0",
            "ordering": "-name",
        },
    }
    return [(name, urlencode(query, doseq=True)) for name, query in asked.items()]


def _compare(name: str, path: str, bases: tuple[str, str], secret: str) -> list[Line]:
    """Ask both in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    clients = [Client(base, secret) for base in bases]
    for _ in range(5):
        for client in clients:
            client.ask(path)
    for _ in range(TIMES):
        for client, seconds in zip(clients, taken, strict=True):
            seconds.append(timed(partial(client.ask, path)))
    few, many = (percentile(seconds, 0.95) * 1000 for seconds in taken)
    middles = " and ".join(f"{percentile(seconds, 0.5) * 1000:.0f}" for seconds in taken)
    return [
        Figure(
            f"{name}, p95 of {MANY} VMs",
            f"{many:.0f} ms",
            f"{few:.0f} ms of {FEW}",
            many / few,
            1.5,
            "at most",
        ),
        Note(f"{name}, p50 of {FEW} and of {MANY}", f"{middles} ms", percentile(taken[1], 0.5) * 1000),
    ]


class Client:
    """Asks one server, each time over a new connection: the server closes one that is idle while the other is asked."""

    def __init__(self, base: str, secret: str) -> None:
        address = urlsplit(base)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        self.headers = {"Authorization": f"Token {secret}"}

    def ask(self, path: str) -> Any:
        """One page, with its JSON parsed."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = json.loads(answer.read())
        self.connection.close()
        assert answer.status == 200, body
        return body


def _ask_here(user: User, query: str) -> None:
    from rest_framework.test import APIClient

    browser = APIClient(SERVER_NAME="localhost")
    browser.force_authenticate(user)
    answer = browser.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content


def _shown(counted: dict[str, int]) -> str:
    low, high = min(counted.values()), max(counted.values())
    return str(low) if low == high else f"{low} to {high}"


def _copied(stack: Stack) -> str:
    """A web server on a copy of the database as it is now."""
    from django.db import connection

    copy = "listing_of_few"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        name = connection.settings_dict["NAME"]
    connection.close()
    # Nobody may be connected to what is copied.
    with _connected_to("template1") as cursor:
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    whole = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = urlsplit(whole)._replace(path=f"/{copy}").geturl()
    try:
        return stack.web(workers=1)
    finally:
        os.environ["DATABASE_URL"] = whole


@contextmanager
def _connected_to(database: str) -> Iterator[Any]:
    """A cursor on another database of the same server, outside of any transaction."""
    from django.db import connection

    other = connection.copy()
    other.settings_dict = {**connection.settings_dict, "NAME": database}
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def _seed(tenant_id: UUID, first: int, count: int) -> None:
    """So many VMs, spread evenly over systems, accounts, statuses and addresses."""
    from django.utils import timezone

    from cloudaccounts.models import CloudAccount
    from tenants.models import InformationSystem
    from vms.models import SyncState, VirtualMachine

    systems = [
        InformationSystem.objects.get_or_create(tenant_id=tenant_id, name=f"System {number:02}")[0]
        for number in range(SYSTEMS)
    ]
    accounts = []
    for number in range(ACCOUNTS):
        account, _created = CloudAccount.objects.get_or_create(
            name=f"listing {number}",
            defaults={
                "auth_url": "http://127.0.0.1:9/v3",
                "credential_kind": "password",
                "access_id": "demo",
                "project": "demo",
            },
        )
        accounts.append(account)
    now = timezone.now()
    states = [
        SyncState.objects.get_or_create(account=account, region="RegionOne", defaults={"listed_at": now})[0]
        for account in accounts
    ]
    for begin in range(first, first + count, 5000):
        VirtualMachine.objects.bulk_create(
            VirtualMachine(
                # Neither by system nor by account do they come in the order of their names.
                information_system=systems[number * 7 % SYSTEMS],
                account=accounts[number // 3 % ACCOUNTS],
                region="RegionOne",
                sync_state=states[number // 3 % ACCOUNTS],
                name=f"vm-{number * 7919 % 1_000_000:06}",
                description="Serves the shop and what belongs to it.",
                cpu_cores=2,
                memory_gb=4,
                disk_gb=40,
                openstack_id=f"00000000-0000-4000-8000-{number:012}",
                status=STATUSES[number // 11 % len(STATUSES)],
                ip_address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                mac_address=f"fa:16:3e:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
                observed_at=now - timedelta(hours=1),
            )
            for number in range(begin, min(begin + 5000, first + count))
        )
