"""A pytest plugin that gives the tests a real PostgreSQL and a real Valkey, in less than a second.

It is loaded by `-p tests.servers` (pyproject.toml), before pytest-django reads Django's settings. A conftest.py would be
loaded too late.

- Only the controlling process starts the servers; with `-n`, the workers inherit their addresses. Each worker has a
  database of its own (pytest-django) and a Valkey database number of its own.
- The tables are made once, while the workers collect the tests, in a database that is then copied for each worker. They
  are migrated, or loaded from the file of an earlier run of the same code: a migration takes seven seconds of processor
  time, and loading a third of one. A test that starts servers of its own may load the same file (`tests/tables.py`).
- If `DATABASE_URL` or `REDIS_URL` is set, that server is used and none is started.
- The servers end with the run, also if it is interrupted or killed: see `devserver/leash.py`.
"""

import atexit
import contextlib
import fcntl
import gc
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from devserver import launch
from devserver.postgres import Postgres
from devserver.valkey import Valkey
from tests import tables

# Imports and collection make a million objects that stay until the end; see also `pytest_collection_finish`.
gc.set_threshold(50_000, 20, 50)

REPOSITORY = Path(__file__).resolve().parent.parent
# The database that is copied for the tests.
TABLES = "tables"
FOLDER_PREFIX = "portal-tests-"


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Servers:
    """The servers of one test run, and their temporary folder."""

    def __init__(self) -> None:
        _remove_abandoned_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        # Started by root, PostgreSQL runs as `nobody` and has to get through.
        self.folder.chmod(0o711)
        # Locked until this run ends: a folder whose lock is free was left by a run that was killed.
        self._lock = (self.folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._running: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []
        self.needs_tables = False

    def start_postgres(self) -> str:
        """Start PostgreSQL, and return its address."""
        server = Postgres(
            folder=self.folder / "postgres",
            port=0,
            password=secrets.token_hex(8),
            durable=False,
            log=self.folder / "postgres.log",
        )
        server.prepare()
        # SIGQUIT ends it without a checkpoint: the data is thrown away.
        self._start(server, signal.SIGQUIT)
        return server.url

    def start_making_tables(self, address: str, kept: Path) -> Path:
        """Start to make the portal's tables in a database of the server, and return the path of the file that is written.

        `kept` is a folder with the files of earlier runs.
        """
        file = self.folder / "tables.sql"
        with contextlib.closing(psycopg2.connect(address)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {TABLES}")
        address = urlsplit(address)._replace(path=f"/{TABLES}").geturl()
        process = launch.start(
            [sys.executable, "-m", "tests.tables", file, kept],
            log=file.with_suffix(".log"),
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "portal.settings"},
        )
        self._running.append((process, signal.SIGTERM))
        return file

    def start_valkey(self) -> str:
        """Start Valkey, and return its address."""
        server = Valkey(
            folder=self.folder / "valkey",
            port=0,
            password=secrets.token_hex(8),
            log=self.folder / "valkey.log",
        )
        self._start(server, signal.SIGTERM)
        return server.url()

    def stop(self) -> None:
        """End the servers and remove their folder. A second call does nothing."""
        while self._running:
            process, stop_signal = self._running.pop()
            launch.end(process, stop_signal=stop_signal, seconds=10)
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, server: Postgres | Valkey, stop_signal: signal.Signals) -> None:
        for _ in range(3):  # Another program may take the free port before the server starts.
            server.port = free_port()
            process = server.start()
            self._running.append((process, stop_signal))
            if _wait(process, server.is_ready):
                return
        pytest.exit(
            f"A server for the tests did not start:\n{launch.read_last_lines(server.log) if server.log else ''}",
            returncode=3,
        )


def _wait(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        if is_ready():
            return True
        time.sleep(0.02)
    return False


def _remove_abandoned_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        try:
            with (folder / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # In use, or another user's.


_servers: Servers | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Start the servers and set the environment. pytest calls this hook first, when it has loaded the plugin."""
    global _servers  # noqa: PLW0603 - a plugin module is its own single instance.
    os.environ["PORTAL_ENV"] = "test"
    # A test that names no cloud must not find one of this machine.
    os.environ.pop("OS_CLOUD", None)
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number = int(worker.removeprefix("gw")) + 1
        os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()
        return
    if _servers or {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        return
    _servers = Servers()
    # For exits on which pytest does not call its last hook.
    atexit.register(_servers.stop)
    if "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _servers.start_postgres()
        _servers.needs_tables = True
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _servers.start_valkey()


def pytest_configure(config: pytest.Config) -> None:
    """Start to make the tables, if this process has started PostgreSQL and tests of Django will run."""
    if _servers and _servers.needs_tables and config.pluginmanager.hasplugin("django"):
        _servers.needs_tables = False
        # In the repository: psql executes what it loads, and nobody else may write here.
        kept = REPOSITORY / ".pytest_cache" / "portal-tables"
        os.environ[tables.FILE] = str(_servers.start_making_tables(os.environ["DATABASE_URL"], kept))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers."""
    if _servers:
        _servers.stop()
