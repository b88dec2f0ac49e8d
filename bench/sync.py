"""Status sync of 10,000 and 50,000 VMs, compared with bare fetching and parsing of the same pages, and with one GET each.

A full run lists all servers, a run of changes only those that Nova lists as changed. Limit and sync are measured in turns,
because the load of the machine changes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .cloud import call_control_api, create_vms, open_bare_session
from .figures import Figure, Line, Note, measure, measure_median
from .stack import REPOSITORY, Stack

if TYPE_CHECKING:
    from cloudaccounts.models import CloudAccount

VMS = 10_000
MANY = 50_000
DAY = 86_400
# A sync must not keep the whole fleet in memory.
MAX_GROWTH_MB = 50


def _create_cloud(stack: Stack, count: int = VMS) -> tuple[str, CloudAccount]:
    """Create a cloud whose servers changed a day ago, so that a listing of changes has only those of the benchmark."""
    url = stack.start_simulator()
    call_control_api(url, "POST", "clock", {"advance_seconds": -DAY, "token_seconds": 30 * DAY})
    account = create_vms(url, url, count)[0].account
    call_control_api(url, "POST", "clock", {"advance_seconds": DAY})
    from cloudaccounts import connect

    # A connection keeps the offset of the cloud's clock for an hour, and would list the changes of a day.
    connect._open_clouds.clear()  # noqa: SLF001 - as in a new process.
    return url, account


def _make_fetcher(url: str, expected: int) -> Callable[[], None]:
    """Return a function that fetches and parses every page with a bare HTTP client that is logged in."""
    session, endpoints = open_bare_session(url)
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


def measure_status_sync(stack: Stack) -> list[Line]:
    """Measure full runs and runs of changes, of few and of many VMs, and the memory of the process."""
    lines: list[Line] = []
    growth: list[float] = []
    for count, times in ((VMS, 5), (MANY, 3)):
        url, account = _create_cloud(stack, count)
        lines += _measure_full_runs(url, account, count, times)
        lines += _measure_change_runs(url, account, count, times)
        growth.append(_measure_memory_growth(account))
        lines.append(
            Note(f"{count} VMs, all changed: memory of the process grows", f"{growth[-1]:.0f} MB", growth[-1])
        )
    more = growth[1] - growth[0]
    lines.append(
        Figure(
            f"memory of a full run, from {VMS} to {MANY} VMs",
            f"+{more:.0f} MB",
            f"{MAX_GROWTH_MB} MB",
            more,
            MAX_GROWTH_MB,
            "at most",
        )
    )
    return lines


def _measure_full_runs(url: str, account: CloudAccount, count: int, times: int) -> list[Figure]:
    """Measure full runs that find nothing, 1 % and everything changed."""
    fetch = _make_fetcher(url, count)
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
            limits.append(measure(fetch))
            _change_rows(_select_vms(account, share))
            runs.append(measure(lambda: _run(account, count, full=True)))
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


def _measure_change_runs(url: str, account: CloudAccount, count: int, times: int) -> list[Note]:
    """Measure the runs between full ones, when nothing has changed in the cloud and when 1 % has."""
    notes = []
    for what, share in (("nothing changed", 0.0), ("1 % changed", 0.01)):
        ids = _select_vms(account, share)
        for server_id in _list_servers(ids):
            call_control_api(url, "PATCH", f"servers/{server_id}", {"status": "PAUSED"})
        taken = []
        for _ in range(times):
            # The cloud lists the same changes each time. The rows are reset, so that the run has something to write.
            _change_rows(ids)
            call_control_api(url, "DELETE", "requests")
            taken.append(measure(partial(_run, account, len(ids), full=False)))
        asked = call_control_api(url, "GET", "requests")["counts"]["total"]
        seconds = statistics.median(taken)
        notes += [
            Note(f"{count} VMs, run of changes, {what}", f"{seconds * 1000:.0f} ms", seconds * 1000),
            Note(f"{count} VMs, run of changes, {what}: requests", str(asked), asked),
        ]
    return notes


def _measure_memory_growth(account: CloudAccount) -> float:
    """Return the megabytes by which the memory of a process grows in a full run that writes every VM."""
    _change_rows(_select_vms(account, 1.0))
    result = subprocess.run(
        [sys.executable, "-m", "bench.sync_alone", str(account.pk)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(result.stdout)


def _select_vms(account: CloudAccount, share: float) -> list[Any]:
    from vms.models import VirtualMachine

    vms = VirtualMachine.objects.filter(account=account).order_by("pk")
    return list(vms.values_list("pk", flat=True)[: int(vms.count() * share)])


def _list_servers(ids: Sequence[Any]) -> list[str]:
    from vms.models import VirtualMachine

    return [str(vm.openstack_id) for vm in VirtualMachine.objects.filter(pk__in=ids)]


def _change_rows(ids: Sequence[Any]) -> None:
    """Change rows, so that they differ from the cloud."""
    from django.db.models.functions import Now

    from vms.models import VirtualMachine

    VirtualMachine.objects.filter(pk__in=ids).update(status="suspended", reading="", written_at=Now())


def measure_naive_sync(stack: Stack) -> list[Figure]:
    """Compare the listing with the naive way: one GET and one query for each VM."""
    from cloudaccounts.connect import open_cloud
    from vms.models import VirtualMachine
    from vms.sync.server_columns import map_server_columns

    _url, account = _create_cloud(stack)
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
    taken = measure_median(3, lambda: _run(account, VMS, full=True))
    naive = measure(one_by_one)
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
