"""A rolling upgrade: web and workers of the previous release and of this one, side by side under load."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.faults.framework.servers import REPOSITORY
from tests.faults.upgrade.releases import NoHistoryError, find_previous_release


@pytest.mark.story
@pytest.mark.timeout(1800)
def test_no_request_fails_and_no_job_is_lost_while_two_releases_run(tmp_path):
    try:
        find_previous_release()
    except NoHistoryError as error:
        pytest.skip(str(error))
    report = tmp_path / "report.json"

    # In a process of its own: it sets Django up before there are tables, and starts its own servers.
    run = subprocess.run(
        [sys.executable, "-m", "tests.faults", "upgrade", "--json", report],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    sections = json.loads(report.read_text())["sections"]
    # A run in which the releases never met would prove little.
    assert sections["Jobs"]["jobs that workers of the previous release could not read"] > 0
    assert sections["Answers"]["creations"] > 5
    assert sections["Answers"]["clicks"] > 50
