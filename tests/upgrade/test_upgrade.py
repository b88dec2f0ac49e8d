"""What the release before has left migrates, and its jobs in flight go on to their ends.

`portal.sql` and `cloud.json` were written by revision a0724f9 with jobs stopped in the midst of their steps, under the names
that steps had then.
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

import simulator
from devserver.postgres import PROGRAMS
from tests.deploys.deploying import PROGRAM

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@pytest.fixture
def database_url():
    """A database as the release before has left it."""
    server = urlsplit(os.environ["DATABASE_URL"])
    name = f"release_before_{os.getpid()}"
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
    """The simulated cloud as it was then."""
    shutil.copy(HERE / "cloud.json", tmp_path / "cloud.json")
    with simulator.start(data_file=tmp_path / "cloud.json") as server:
        yield server


def run(database_url, folder, *program):
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DEPLOY_PROGRAMS": json.dumps({"files": ["/bin/sh", "-c", PROGRAM, str(folder)]}),
    }
    done = subprocess.run(
        [sys.executable, *program],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.timeout(300)
def test_jobs_of_the_release_before_go_on(database_url, cloud, tmp_path):
    run(database_url, tmp_path, "manage.py", "migrate", "--no-input", "-v", "0")

    ended = json.loads(run(database_url, tmp_path, "-m", "tests.upgrade.finish_jobs", cloud.auth_url))

    assert len(ended) == 18
    assert [job for job in ended if job[2] != "succeeded"] == []
    assert {kind.partition(".")[0] for kind, *_rest in ended} == {"vms", "volumepool", "deploys"}
