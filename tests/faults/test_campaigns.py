"""Small campaigns, run by the same code as the large ones (`make faults`), so that this code cannot rot."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devserver import launch
from tests.faults.framework.servers import REPOSITORY

PROGRAM = [sys.executable, "-m", "tests.faults"]
SMALL_STORM = ["storm", "--small", "--kills", "8", "--vms", "16", "--minutes", "0.2"]


def run_campaign(folder, *arguments, seconds=230):
    """Run a campaign in a process of its own, because it reads settings and starts servers once; return its report."""
    report = folder / "report.json"
    run = subprocess.run(
        [*PROGRAM, *arguments, "--seed", "1", "--json", report],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(report.read_text())["sections"]


@pytest.mark.story
@pytest.mark.timeout(240)
def test_a_small_campaign_of_creations_holds(tmp_path):
    sections = run_campaign(tmp_path, "creation", "--runs", "6", "--kill-every", "2")

    summary = sections["Summary"]
    assert summary["VMs requested"] == 6
    # A run in which nothing was broken would prove nothing.
    assert summary["worker processes killed"] >= 2
    assert summary["answers that failed or were lost"] >= 2
    assert sections["Jobs by outcome"]["vms.create succeeded"] >= 2


@pytest.mark.story
@pytest.mark.timeout(240)
def test_a_small_campaign_of_pools_holds(tmp_path):
    sections = run_campaign(tmp_path, "pool", "--runs", "5", "--kill-every", "3")

    summary = sections["Summary"]
    assert summary["claims"] == 5
    assert summary["worker processes killed"] >= 2
    assert summary["answers that failed or were lost"] >= 2
    assert sections["Jobs by outcome"]["volumepool.provide_volumes succeeded"] >= 2


@pytest.mark.story
@pytest.mark.timeout(240)
def test_a_small_storm_loses_nothing_and_does_nothing_twice(tmp_path):
    sections = run_campaign(tmp_path, *SMALL_STORM)

    assert sections["Survived"]["worker processes killed"] == 8
    assert sections["Injected"]["Valkey flushed"] == 1
    assert sections["Injected"]["PostgreSQL shut down (fast)"] == 1
    # A storm with few clicks would prove little, and so would a search for secrets in nothing. How many fit into the time
    # depends on the machine.
    assert sections["Survived"]["clicks answered 202"] >= 8
    assert sections["Searched for secrets"]["bytes of answers"] > 10_000


@pytest.mark.story
@pytest.mark.timeout(180)
def test_an_interrupted_campaign_leaves_no_process():
    run = subprocess.Popen([*PROGRAM, *SMALL_STORM], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    # Wait for the servers, PostgreSQL's own processes, and the first process of the portal.
    while not any(b"celery" in read_command(process) for process in launch.process_tree(run.pid)):
        assert time.monotonic() < until
        time.sleep(0.1)
    processes = launch.process_tree(run.pid)

    run.send_signal(signal.SIGINT)

    output, _nothing = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert launch.wait_until_gone(processes, seconds=1)


def read_command(process):
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    except OSError:
        return b""  # It has ended meanwhile.
