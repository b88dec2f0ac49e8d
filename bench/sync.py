"""Status sync of 10,000 VMs against bare fetching and parsing of the same pages, and against one GET each."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import requests

from .cloud import seeded_vms
from .figures import Figure, median_of, timed
from .stack import Stack

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount

VMS = 10_000


def _prepare(stack: Stack) -> tuple[str, CloudAccount]:
    url = stack.simulator()
    return url, seeded_vms(url, url, VMS)[0].account


def _bare_fetcher(url: str) -> Callable[[], None]:
    """Fetches and parses every page with a bare HTTP client that is logged in already."""
    session = requests.Session()
    auth: Any = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "demo", "password": "demo", "domain": {"name": "Default"}}},
            },
            "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
        }
    }
    answer = session.post(f"{url}/identity/v3/auth/tokens", json=auth, timeout=30)
    answer.raise_for_status()
    session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
    session.headers["OpenStack-API-Version"] = "compute 2.69"
    compute = next(
        endpoint["url"]
        for service in answer.json()["token"]["catalog"]
        if service["type"] == "compute"
        for endpoint in service["endpoints"]
        if endpoint["interface"] == "public"
    )

    def fetch() -> None:
        marker, count = "", 0
        while True:
            after = f"&marker={marker}" if marker else ""
            page = json.loads(session.get(f"{compute}/servers/detail?limit=1000{after}", timeout=30).content)[
                "servers"
            ]
            count += len(page)
            if len(page) < 1000:
                break
            marker = page[-1]["id"]
        assert count == VMS, count

    return fetch


def sync(stack: Stack) -> list[Figure]:
    """Nothing, 1 % and everything changed."""
    from django.db.models.functions import Now

    from vms.models import VirtualMachine
    from vms.sync.status import sync_region

    url, account = _prepare(stack)
    fetch = _bare_fetcher(url)

    def run() -> None:
        _checked(sync_region(account.pk, "RegionOne"))

    vms = VirtualMachine.objects.filter(account=account)

    def differ(share: float) -> None:
        ids = list(vms.values_list("pk", flat=True)[: int(VMS * share)])
        VirtualMachine.objects.filter(pk__in=ids).update(status="paused", reading="", written_at=Now())

    fetch()
    run()
    figures = []
    for what, share, to_reach in (
        ("nothing changed", 0, 1.5),
        ("1 % changed", 0.01, 1.6),
        ("all changed", 1, 3),
    ):
        limit = median_of(5, fetch)
        taken = median_of(5, run, before=partial(differ, share))
        figures.append(
            Figure(
                f"{VMS} VMs, {what}",
                f"{taken:.3f} s",
                f"{limit:.3f} s fetch + parse",
                taken / limit,
                to_reach,
                "at most",
            )
        )
    return figures


def sync_naive(stack: Stack) -> list[Figure]:
    """The listing against what one would write first: one GET and one look at the row for each VM."""
    from cloudaccounts.connect import open_cloud
    from vms.models import VirtualMachine
    from vms.sync.mapping import columns_of
    from vms.sync.status import sync_region

    _url, account = _prepare(stack)
    ids = list(VirtualMachine.objects.filter(account=account).values_list("openstack_id", flat=True))

    def one_by_one() -> None:
        compute = open_cloud(account, "RegionOne").compute
        for server_id in ids:
            columns = columns_of(compute.get_server(server_id))
            vm = VirtualMachine.objects.get(openstack_id=server_id)
            if vm.status != columns.status:
                vm.status = columns.status or vm.status
                vm.save()

    sync_region(account.pk, "RegionOne")
    taken = median_of(3, lambda: _checked(sync_region(account.pk, "RegionOne")))
    naive = timed(one_by_one)
    return [
        Figure(
            f"{VMS} VMs by one listing",
            f"{taken:.3f} s",
            f"{naive:.1f} s one GET each",
            naive / taken,
            50,
            "at least",
        )
    ]


def _checked(run: Any) -> None:
    assert run is not None
    assert run.state == "success", run.message
    assert run.synced == VMS, run.synced
