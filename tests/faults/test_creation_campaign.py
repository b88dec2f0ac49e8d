"""A small campaign, by the same code as the large one (`python -m tests.faults.creation`), so that neither can rot."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.faults.storm.servers import REPOSITORY

SMALL = ["-m", "tests.faults.creation", "--runs", "6", "--kill-every", "2", "--seed", "1", "--quiet"]


@pytest.mark.story
@pytest.mark.timeout(180)
def test_a_small_campaign_leaves_nothing_behind_and_loses_nothing():
    """A process of its own: it has its own servers and settings, and these are read once."""
    run = subprocess.run(
        [sys.executable, *SMALL], cwd=REPOSITORY, capture_output=True, text=True, timeout=170, check=False
    )

    assert run.returncode == 0, run.stdout + run.stderr
    told = dict(re.findall(r"^  (\S.*?) {2,}(\S+)$", run.stdout, re.MULTILINE))
    assert told["runs (creations)"] == "6"
    # One in which nothing was broken would prove nothing.
    assert int(told["worker processes killed"]) >= 2
    assert int(told["answers that failed or were lost"]) >= 2
    assert int(told["vms.create succeeded"]) >= 2
