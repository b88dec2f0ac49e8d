"""The database of the previous release is migrated, and its jobs in flight go on until they succeed.

`portal.sql` and `cloud.json` were written by revision a0724f9, with jobs stopped in the middle of their steps and with the
step names of that release.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests

import simulator
from devserver.postgres import PROGRAMS
from tests.deploys.deploying import PROGRAM

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@pytest.fixture
def database_url():
    """A database of the previous release."""
    server = urlsplit(os.environ["DATABASE_URL"])
    name = f"previous_release_{os.getpid()}"
    connection = psycopg2.connect(server.geturl())
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    url = server._replace(path=f"/{name}").geturl()
    program = [
        PROGRAMS / "psql",
        "--no-psqlrc",
        "--quiet",
        "--set",
        "ON_ERROR_STOP=1",
        "--file",
        HERE / "portal.sql",
        url,
    ]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    yield url
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture
def cloud(tmp_path):
    """The simulated cloud at the time of the dump."""
    shutil.copy(HERE / "cloud.json", tmp_path / "cloud.json")
    with simulator.start(data_file=tmp_path / "cloud.json") as server:
        # Two hours pass, so that the cloud finishes its actions. Then the clock is set right.
        no_delay = {"build_seconds": 0, "action_seconds": 0, "volume_seconds": 0}
        for seconds in (7200, -7200):
            requests.post(
                f"{server.url}/_control/clock", json={**no_delay, "advance_seconds": seconds}, timeout=10
            )
            requests.get(f"{server.url}/_control/objects", timeout=10)
        yield server


def run_program(database_url, folder, *program):
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DEPLOY_PROGRAMS": json.dumps({"files": ["/bin/sh", "-c", PROGRAM, str(folder)]}),
    }
    result = subprocess.run(
        [sys.executable, *program],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


@pytest.mark.story
@pytest.mark.timeout(300)
def test_jobs_of_the_previous_release_go_on(database_url, cloud, tmp_path):
    run_program(database_url, tmp_path, "manage.py", "migrate", "--no-input", "-v", "0")

    # What every tenant could use is granted to all of them, and each network to the tenant whose VMs use it.
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, tenant_id IS NULL, count(*) FROM cloudaccounts_cataloguegrant WHERE by_upgrade GROUP BY 1, 2"
        )
        granted = {(kind, to_all): count for kind, to_all, count in cursor.fetchall()}
    connection.close()
    accounts = granted["flavor", True]
    common = {(kind, True): accounts for kind in ("flavor", "image", "volume_type", "zone")}
    assert granted == {**common, ("network", False): 1}

    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        # VMs of the release before are counted, and the indexes that are built beside requests are complete.
        cursor.execute("SELECT (SELECT count(*) FROM vms_virtualmachine), (SELECT sum(vms) FROM vms_vmusage)")
        vms, counted = cursor.fetchone()
        assert vms == counted > 0
        cursor.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        assert cursor.fetchone() == (0,)
    connection.close()
    outcomes = json.loads(
        run_program(database_url, tmp_path, "-m", "tests.upgrade.finish_jobs", cloud.auth_url)
    )

    assert len(outcomes) == 18
    assert [job for job in outcomes if job[2] != "succeeded"] == []
    assert {kind.partition(".")[0] for kind, *_rest in outcomes} == {"vms", "volumepool", "deploys"}
