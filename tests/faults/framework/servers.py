"""The servers of a campaign: PostgreSQL, Valkey and the simulated cloud, on free ports, in one temporary folder.

Each can be broken and brought back at the same address, because that is what its clients have to survive.
Django reads its settings when it is set up, so `Servers` must come before anything of Django is imported.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import redis

from bench.stack import answers, free_port
from devserver import launch
from devserver.postgres import Postgres
from devserver.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parents[3]

# Intervals are short, so that leases run out and sweeps run often within a few minutes.
# The attempt cap stays at its default: attempts are counted from the last record, so ten kills in a row would have to
# meet the same step of one job. That no job became stuck is one of the invariants.
SETTINGS = {
    "PORTAL_ENV": "development",
    "DJANGO_SETTINGS_MODULE": "portal.settings",
    "LOG_LEVEL": "WARNING",
    # A removal removes: what is compared afterwards is the cloud.
    "BIN_DAYS": "0",
    "JOB_LEASE_SECONDS": "3",
    "JOB_SWEEP_SECONDS": "1",
    "JOB_ATTEMPT_CAP": "10",
    "VM_STATUS_SYNC_SECONDS": "4",
    "RATE_READ": "1000000/min",
    "RATE_CHANGE": "1000000/min",
    "WEB_WORKERS": "2",
    "WEB_THREADS": "8",
    "OS_CLOUD": "",
    "PYTHONUNBUFFERED": "1",
    # Everything is on this machine; a proxy that the environment names cannot reach it.
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


class Servers:
    """The three servers. Call the methods from the main thread: a process that another thread starts ends with that thread."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="portal-faults-"))
        # Started by root, PostgreSQL runs as `nobody` and has to get through.
        self.folder.chmod(0o711)
        self.postgres = Postgres(
            folder=self.folder / "postgres",
            port=free_port(),
            password=secrets.token_hex(8),
            log=self.folder / "postgres.log",
        )
        self.valkey = Valkey(
            folder=self.folder / "valkey",
            port=free_port(),
            password=secrets.token_hex(8),
            log=self.folder / "valkey.log",
        )
        self.simulator_port = free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._connection: Any = None
        for name in ("PORTAL_CRASH_AT", "SIMULATOR_PORT"):
            os.environ.pop(name, None)
        os.environ.update(SETTINGS, DATABASE_URL=self.postgres.url, REDIS_URL=self.valkey.url())

    @property
    def cloud_url(self) -> str:
        """Return the address of the simulated cloud."""
        return f"http://127.0.0.1:{self.simulator_port}"

    def start(self, seed: int) -> None:
        """Start all three, and wait until they answer."""
        self.running["simulator"] = launch.start(
            [
                sys.executable,
                *f"-m simulator --port {self.simulator_port} --seed {seed}".split(),
            ],
            log=self.folder / "simulator.log",
            folder=REPOSITORY,
            environment=os.environ,
            when_parent_dies=signal.SIGKILL,
        )
        self.start_valkey()
        self.postgres.prepare()
        self.start_postgres()
        self.wait(self.valkey.is_ready, "Valkey")
        self.wait(self.postgres.is_ready, "PostgreSQL")
        self.wait(lambda: answers(f"{self.cloud_url}/_control/faults"), "The simulator")

    def wait(self, ready: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait for something to be ready. Raises `TimeoutError` with what the logs say last."""
        until = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > until:
                raise TimeoutError(f"{what} was not ready within {seconds:.0f} s.\n{self.read_last_lines()}")
            time.sleep(0.05)

    def read_last_lines(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"--- {log.name}\n{launch.read_last_lines(log, 8)}" for log in sorted(self.folder.glob("*.log"))
        )

    def start_valkey(self) -> None:
        """Start Valkey without any data, unless it runs."""
        if "valkey" not in self.running:
            self.running["valkey"] = self.valkey.start()

    def stop_valkey(self, *, gracefully: bool) -> None:
        """Stop Valkey, which loses all of its data."""
        if process := self.running.pop("valkey", None):
            process.send_signal(signal.SIGTERM if gracefully else signal.SIGKILL)
            process.wait(20)

    def flush_valkey(self) -> None:
        """Flush Valkey, unless it is stopped: it starts without any data."""
        try:
            with redis.Redis(
                port=self.valkey.port, password=self.valkey.password, socket_timeout=5
            ) as client:
                client.flushall()
        except redis.exceptions.ConnectionError:
            return

    def start_postgres(self) -> None:
        """Start PostgreSQL on its data, unless it runs."""
        if "postgres" in self.running:
            return
        if (self.postgres.data / "postmaster.pid").exists():
            self.postgres.prepare()  # After a kill: ends what is left, and removes the lock file.
        self.running["postgres"] = self.postgres.start()

    def stop_postgres(self, mode: str) -> None:
        """Shut PostgreSQL down: "fast" ends the connections in order, "immediate" is a crash that needs recovery."""
        if process := self.running.pop("postgres", None):
            process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            process.wait(60)

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement, on a connection beside Django's. Raises `psycopg2.Error` while the server is down."""
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self.postgres.url, connect_timeout=2)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        except psycopg2.Error:
            self._connection = None  # The next call connects again.
            raise

    def stop(self) -> None:
        """End the servers without a checkpoint: their data is thrown away."""
        for name, stop_signal in (
            ("simulator", signal.SIGTERM),
            ("valkey", signal.SIGTERM),
            ("postgres", signal.SIGQUIT),
        ):
            if process := self.running.pop(name, None):
                launch.end(process, stop_signal=stop_signal, seconds=10)

    def remove_folder(self, *, keep_logs: bool) -> None:
        """Remove the folder, or everything in it except for the logs."""
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for data in (self.postgres.folder, self.valkey.folder):
            shutil.rmtree(data, ignore_errors=True)
