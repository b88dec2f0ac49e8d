"""The VM list, page by page through the web server, of a tenant with 1,000 VMs and of one with 100,000.

Each has a web server and a database of its own, because the queries of the small one must not read the rows of the large
one. They are requested in turns, because the load of the machine changes. No cloud is needed: the rows are written directly.
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

from .figures import Figure, Line, Note, measure, percentile
from .stack import Stack
from .statements import count_statements

if TYPE_CHECKING:
    from tenants.models import User

FEW = 1_000
MANY = 100_000
SYSTEMS = 20
ACCOUNTS = 4
TIMES = 30
PATH = "/api/v1/vms/"
# Web pages, by what they show.
PAGES = {
    "page of the list": "/vms/",
    "page of a search": "/vms/?search=vm-00",
    "overview": "/overview/",
    "search over everything": "/search/?q=000000000777",
}
# Milliseconds that pages and lists may take with 100,000 VMs, and the percentile that is held against it.
LIST_LIMIT = (0.95, 60)
PAGE_LIMITS = {"page of the list": (0.5, 40), "search over everything": (0.95, 100)}
STATUSES = ("running",) * 6 + ("stopped",) * 3 + ("error",)


def measure_listing(stack: Stack) -> list[Line]:
    """Measure the 95th percentile of every query for a page, and check that each takes the same number of statements."""
    from django.db import connection

    from api.models import ApiToken
    from tenants.models import Membership, Tenant, User
    from tenants.scoping import Role
    from vms.queries import merge_vm_usage

    tenant = Tenant.objects.create(name="Listing", slug="listing")
    user = User.objects.create_user("listing")
    Membership.objects.create(user=user, tenant=tenant, role=Role.OPERATOR)
    _token, secret = ApiToken.objects.create(user=user, name="bench", expiry=None)
    _create_rows(tenant.pk, 0, FEW)
    merge_vm_usage()  # As beat does every minute.
    by_token, by_session = {"Authorization": f"Token {secret}"}, {"Cookie": _sign_in(user)}
    queries = _build_queries()
    counted = {
        name: count_statements(partial(_request_in_process, user, query)).work for name, query in queries
    }
    few = _start_on_copy(stack)
    _create_rows(tenant.pk, FEW, MANY - FEW)
    merge_vm_usage()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    many = stack.start_web(workers=1)
    lines: list[Line] = []
    for name, query in queries:
        now = count_statements(partial(_request_in_process, user, query)).work
        assert now == counted[name], (name, counted[name], now)
        lines += _compare(name, f"{PATH}?{query}", (few, many), by_token)
    for name, path in PAGES.items():
        lines += _compare(name, path, (few, many), by_session)
    lines.append(Note("statements of a page", _format_range(counted), max(counted.values())))
    return lines


def _sign_in(user: User) -> str:
    """Sign in a user, and return the cookie of the session. Both databases have it when one is a copy of the other."""
    from django.conf import settings
    from django.test import Client as TestClient

    client = TestClient()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def _build_queries() -> list[tuple[str, str]]:
    """Return the query string of every kind of page, with its name."""
    from cloudaccounts.models import CloudAccount
    from tenants.models import InformationSystem

    system = InformationSystem.objects.get(tenant__slug="listing", name="System 07")
    account = CloudAccount.objects.get(name="listing 2")
    parameters: dict[str, dict[str, object]] = {
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
        # No index finds two characters: with none found, all rows are read.
        "search, two characters, none is found": {"search": "zz"},
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
    return [(name, urlencode(query, doseq=True)) for name, query in parameters.items()]


def _compare(name: str, path: str, bases: tuple[str, str], headers: dict[str, str]) -> list[Line]:
    """Request a page from both servers in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    clients = [Client(base, headers) for base in bases]
    for _ in range(5):
        for client in clients:
            client.request_page(path)
    for _ in range(TIMES):
        for client, seconds in zip(clients, taken, strict=True):
            seconds.append(measure(partial(client.request_page, path)))
    few, many = (percentile(seconds, 0.95) * 1000 for seconds in taken)
    share, limit = PAGE_LIMITS.get(name, LIST_LIMIT)
    reached = percentile(taken[1], share) * 1000
    medians = " and ".join(f"{percentile(seconds, 0.5) * 1000:.0f}" for seconds in taken)
    return [
        Figure(
            f"{name}, p95 of {MANY} VMs",
            f"{many:.0f} ms",
            f"{few:.0f} ms of {FEW}",
            many / few,
            1.5,
            "at most",
        ),
        Figure(
            f"{name}, p{share * 100:.0f} in milliseconds",
            f"{reached:.0f} ms",
            f"{limit} ms",
            reached / limit,
            1,
            "at most",
        ),
        Note(f"{name}, p50 of {FEW} and of {MANY}", f"{medians} ms", percentile(taken[1], 0.5) * 1000),
    ]


class Client:
    """A client of one server, with a new connection for each request: the server closes idle ones."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        address = urlsplit(base)
        self.connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        self.headers = headers

    def request_page(self, path: str) -> None:
        """Request a page of the API or of the web, and read all of it; JSON is parsed, as a program does."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        self.connection.close()
        assert answer.status == 200, body[:500]
        if "json" in answer.headers["Content-Type"]:
            json.loads(body)


def _request_in_process(user: User, query: str) -> None:
    from rest_framework.test import APIClient

    browser = APIClient(SERVER_NAME="localhost")
    browser.force_authenticate(user)
    answer = browser.get(f"{PATH}?{query}")
    assert answer.status_code == 200, answer.content


def _format_range(counted: dict[str, int]) -> str:
    low, high = min(counted.values()), max(counted.values())
    return str(low) if low == high else f"{low} to {high}"


def _start_on_copy(stack: Stack) -> str:
    """Start a web server on a copy of the database as it is now, and return its address."""
    from django.db import connection

    copy = "listing_of_few"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        name = connection.settings_dict["NAME"]
    connection.close()
    # No session may be connected to a database that is copied.
    with _connected_to("template1") as cursor:
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    original = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = urlsplit(original)._replace(path=f"/{copy}").geturl()
    try:
        return stack.start_web(workers=1)
    finally:
        os.environ["DATABASE_URL"] = original


@contextmanager
def _connected_to(database: str) -> Iterator[Any]:
    """Open a cursor on another database of the same server, outside of any transaction."""
    from django.db import connection

    other = connection.copy()
    other.settings_dict = {**connection.settings_dict, "NAME": database}
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


def _create_rows(tenant_id: UUID, first: int, count: int) -> None:
    """Create this many VMs, spread evenly over systems, accounts, statuses and addresses."""
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
                # Systems and accounts do not follow the order of the names.
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
