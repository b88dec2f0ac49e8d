"""Status sync of 10,000 and 50,000 VMs against bare fetching and parsing of the same pages, and against one GET each.

A full run lists all servers, a run of changes those that Nova says have changed. The limit is taken in turns with
what is held against it, as the machine is not equally busy all the time.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .cloud import bare_session, control_api, seeded_vms
from .figures import Figure, Line, Note, median_of, timed
from .stack import REPOSITORY, Stack

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount

VMS = 10_000
MANY = 50_000
DAY = 86_400
# As the listing of resources: what a sync keeps in memory must not be the fleet.
MOST_GROWTH_MB = 50


def _prepare(stack: Stack, count: int = VMS) -> tuple[str, CloudAccount]:
    """A cloud whose servers changed last a day ago: what a listing of changes shows is what a benchmark changes."""
    url = stack.simulator()
    control_api(url, "POST", "clock", {"advance_seconds": -DAY, "token_seconds": 30 * DAY})
    account = seeded_vms(url, url, count)[0].account
    control_api(url, "POST", "clock", {"advance_seconds": DAY})
    from cloudaccounts import connect

    # A connection remembers for an hour how far back the cloud's clock was, and would ask for a day of changes.
    connect._open_clouds.clear()  # noqa: SLF001 - as a process does that begins now.
    return url, account


def _bare_fetcher(url: str, expected: int) -> Callable[[], None]:
    """Fetches and parses every page with a bare HTTP client that is logged in already."""
    session, endpoints = bare_session(url)
    compute = endpoints["compute"]

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
        assert count == expected, count

    return fetch


def sync(stack: Stack) -> list[Line]:
    """Full runs and runs of changes, of few and of many VMs, and what the syncing process needs of memory."""
    lines: list[Line] = []
    grown: list[float] = []
    for count, times in ((VMS, 5), (MANY, 3)):
        url, account = _prepare(stack, count)
        lines += _full_runs(url, account, count, times)
        lines += _runs_of_changes(url, account, count, times)
        grown.append(_memory_of_a_run(account))
        lines.append(
            Note(f"{count} VMs, all changed: memory of the process grows", f"{grown[-1]:.0f} MB", grown[-1])
        )
    more = grown[1] - grown[0]
    lines.append(
        Figure(
            f"memory of a full run, from {VMS} to {MANY} VMs",
            f"+{more:.0f} MB",
            f"{MOST_GROWTH_MB} MB",
            more,
            MOST_GROWTH_MB,
            "at most",
        )
    )
    return lines


def _full_runs(url: str, account: CloudAccount, count: int, times: int) -> list[Figure]:
    """Nothing, 1 % and everything changed."""
    fetch = _bare_fetcher(url, count)
    fetch()
    _run(account, count, full=True)
    figures = []
    for what, share, to_reach in (
        ("nothing changed", 0.0, 1.5),
        ("1 % changed", 0.01, 1.6),
        ("all changed", 1.0, 3),
    ):
        limits, runs = [], []
        for _ in range(times):
            limits.append(timed(fetch))
            _differ(_ids(account, share))
            runs.append(timed(lambda: _run(account, count, full=True)))
        limit, taken = statistics.median(limits), statistics.median(runs)
        figures.append(
            Figure(
                f"{count} VMs, {what}",
                f"{taken:.3f} s",
                f"{limit:.3f} s fetch + parse",
                taken / limit,
                to_reach,
                "at most",
            )
        )
    return figures


def _runs_of_changes(url: str, account: CloudAccount, count: int, times: int) -> list[Note]:
    """Runs between full ones, when nothing has changed in the cloud and when 1 % has."""
    notes = []
    for what, share in (("nothing changed", 0.0), ("1 % changed", 0.01)):
        ids = _ids(account, share)
        for server_id in _servers_of(ids):
            control_api(url, "PATCH", f"servers/{server_id}", {"status": "PAUSED"})
        taken = []
        for _ in range(times):
            # The cloud says the same each time: it is the rows that are set back, so that there is something to write.
            _differ(ids)
            control_api(url, "DELETE", "requests")
            taken.append(timed(partial(_run, account, len(ids), full=False)))
        asked = control_api(url, "GET", "requests")["counts"]["total"]
        seconds = statistics.median(taken)
        notes += [
            Note(f"{count} VMs, run of changes, {what}", f"{seconds * 1000:.0f} ms", seconds * 1000),
            Note(f"{count} VMs, run of changes, {what}: requests", str(asked), asked),
        ]
    return notes


def _memory_of_a_run(account: CloudAccount) -> float:
    """Megabytes by which the memory of a process that has loaded everything grows at most in a full run that writes all."""
    _differ(_ids(account, 1.0))
    told = subprocess.run(
        [sys.executable, "-m", "bench.sync_alone", str(account.pk)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(told.stdout)


def _ids(account: CloudAccount, share: float) -> list[Any]:
    from vms.models import VirtualMachine

    vms = VirtualMachine.objects.filter(account=account).order_by("pk")
    return list(vms.values_list("pk", flat=True)[: int(vms.count() * share)])


def _servers_of(ids: Sequence[Any]) -> list[str]:
    from vms.models import VirtualMachine

    return [str(vm.openstack_id) for vm in VirtualMachine.objects.filter(pk__in=ids)]


def _differ(ids: Sequence[Any]) -> None:
    """Let rows say something else than the cloud."""
    from django.db.models.functions import Now

    from vms.models import VirtualMachine

    VirtualMachine.objects.filter(pk__in=ids).update(status="suspended", reading="", written_at=Now())


def sync_naive(stack: Stack) -> list[Figure]:
    """The listing against what one would write first: one GET and one look at the row for each VM."""
    from cloudaccounts.connect import open_cloud
    from vms.models import VirtualMachine
    from vms.sync.server_columns import map_server_columns

    _url, account = _prepare(stack)
    ids = list(VirtualMachine.objects.filter(account=account).values_list("openstack_id", flat=True))

    def one_by_one() -> None:
        compute = open_cloud(account, "RegionOne").compute
        for server_id in ids:
            columns = map_server_columns(compute.get_server(server_id))
            vm = VirtualMachine.objects.get(openstack_id=server_id)
            if vm.status != columns.status:
                vm.status = columns.status or vm.status
                vm.save()

    _run(account, VMS, full=True)
    taken = median_of(3, lambda: _run(account, VMS, full=True))
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


def _run(account: CloudAccount, expected: int, *, full: bool) -> None:
    from vms.sync.status import sync_region

    run = sync_region(account.pk, "RegionOne", full=full)
    assert run is not None
    assert run.state == "success", run.message
    assert (run.full, run.synced, run.skipped) == (full, expected, 0), (run.full, run.synced, run.skipped)
