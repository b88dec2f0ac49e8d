"""A small storm, by the same code as the large one (`make faults`), so that neither can rot."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devserver import launch
from tests.faults.storm.effects import Act, settle_account
from tests.faults.storm.plan import make_plan
from tests.faults.storm.scene import Vm
from tests.faults.storm.servers import REPOSITORY

SMALL = ["-m", "tests.faults.storm", "--small", "--kills", "8", "--vms", "16", "--minutes", "0.2"]


@pytest.mark.story
@pytest.mark.timeout(180)
def test_a_small_storm_loses_nothing_and_does_nothing_twice(tmp_path):
    """A process of its own: it has its own servers and settings, and these are read once."""
    told = tmp_path / "storm.json"

    run = subprocess.run(
        [sys.executable, *SMALL, "--seed", "1", "--json", told],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    report = json.loads(told.read_text())
    assert report["survived"]["worker processes killed"] == 8
    assert report["injected"]["Valkey flushed"] == 1
    assert report["injected"]["PostgreSQL shut down (fast)"] == 1
    # A storm in which little was clicked would prove little.
    assert report["survived"]["clicks answered 202"] >= 20


@pytest.mark.story
@pytest.mark.timeout(180)
def test_an_interrupted_storm_leaves_no_process():
    run = subprocess.Popen([sys.executable, *SMALL], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    # The servers, PostgreSQL's own processes, and the portal's, which are only just starting.
    while sum(b"celery" in command_of(member) for member in launch.process_tree(run.pid)) < 1:
        assert time.monotonic() < until
        time.sleep(0.1)
    everybody = launch.process_tree(run.pid)

    run.send_signal(signal.SIGINT)

    told, _nothing = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert launch.wait_until_gone(everybody, seconds=1)


def command_of(process):
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return b""  # It has ended meanwhile.


# --- The plan ----------------------------------------------------------------------------------------------


def plan_of(seed, **options):
    return make_plan(seed=seed, kills=200, vms=50, seconds=None, clicks_per_second=5, **options)


def first_wishes(plan, person):
    wishes = plan.wishes(person)
    return [next(wishes) for _ in range(50)]


def test_the_same_seed_is_the_same_plan():
    assert plan_of(7) == plan_of(7)
    assert first_wishes(plan_of(7), 2) == first_wishes(plan_of(7), 2)
    assert plan_of(7).events != plan_of(8).events
    assert first_wishes(plan_of(7), 2) != first_wishes(plan_of(7), 3)


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_killed_in_the_calm(seed):
    plan = plan_of(seed)

    begin, end = plan.calm
    disturbing = {"kill", "freeze", "stop_postgres", "start_postgres", "cut_connections"}
    assert not [event for event in plan.events if event.name in disturbing and begin <= event.at <= end]
    slow = [event.at for event in plan.events if event.options.get("window") == "slow_actions"]
    assert begin < slow[0] < slow[1] < end - 29


# --- The comparison: it must see what it looks for ---------------------------------------------------------


class Ended:
    """A job of a VM, as far as the comparison looks at it."""

    def __init__(self, kind, status, begin, end):
        self.pk, self.kind, self.status, self.outcome_code = f"{kind}@{begin}", kind, status, ""
        self.created_at, self.ended_at = moment(begin), moment(end)


def moment(second):
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)


def problems(began_as, jobs, acts):
    vm = Vm("vm", "server", began_as)
    return settle_account(
        vm, [Ended(*job) for job in jobs], [Act(moment(second), action, "") for second, action in acts]
    ).wrong


@pytest.mark.parametrize(
    ("began_as", "jobs", "acts"),
    [
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], [(2, "os-start")]),
        ("ACTIVE", [("vms.start", "succeeded", 1, 5)], []),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], []),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-start"), (4, "os-stop")]),
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], [(2, "reboot")]),
        ("ACTIVE", [("vms.restart", "cancelled", 1, 5)], [(2, "reboot")]),
        (
            "SHUTOFF",
            [("vms.start", "succeeded", 1, 5), ("vms.stop", "succeeded", 6, 9)],
            [(2, "os-start"), (7, "os-stop")],
        ),
    ],
)
def test_what_jobs_explain_is_right(began_as, jobs, acts):
    assert problems(began_as, jobs, acts) == []


@pytest.mark.parametrize(
    ("began_as", "jobs", "acts"),
    [
        # Lost: it says that it succeeded, and the cloud never heard of it.
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], []),
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], []),
        # Twice.
        ("ACTIVE", [("vms.restart", "succeeded", 1, 5)], [(2, "reboot"), (3, "reboot")]),
        ("ACTIVE", [("vms.restart", "cancelled", 1, 5)], [(2, "reboot"), (3, "reboot")]),
        # Not taken back, and taken back without having been done.
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-start")]),
        ("SHUTOFF", [("vms.start", "cancelled", 1, 5)], [(2, "os-stop")]),
        # Something else.
        ("ACTIVE", [("vms.stop", "succeeded", 1, 5)], [(2, "os-stop"), (3, "reboot")]),
        # In no job's time: before, between and after.
        ("SHUTOFF", [("vms.start", "succeeded", 2, 5)], [(1, "os-start")]),
        ("SHUTOFF", [("vms.start", "succeeded", 1, 5)], [(2, "os-start"), (6, "reboot")]),
        ("SHUTOFF", [], [(6, "os-start")]),
    ],
)
def test_what_no_job_explains_is_wrong(began_as, jobs, acts):
    assert problems(began_as, jobs, acts) != []
