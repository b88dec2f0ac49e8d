"""A real streaming standby of the tests' PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import pytest

from devserver import launch
from devserver.postgres import PROGRAMS, Postgres
from tests.servers import free_port
from tests.web_processes import get_test_database_url


class Standby:
    """A standby whose replay can be paused, and which can be killed, started again and promoted."""

    def __init__(self, folder: Path) -> None:
        primary = urlsplit(os.environ["DATABASE_URL"])
        self.server = Postgres(
            folder=folder / "standby",
            port=free_port(),
            password=unquote(primary.password or ""),
            durable=False,
            log=folder / "standby.log",
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the address of the test's database on the standby."""
        own = urlsplit(get_test_database_url())
        return own._replace(netloc=f"{own.netloc.rpartition(':')[0]}:{self.server.port}").geturl()

    def copy_primary(self) -> None:
        """Make the standby's data from that of the primary, with all its databases."""
        self.server.folder.mkdir()
        program = [PROGRAMS / "pg_basebackup", "--pgdata", self.server.data, "--write-recovery-conf"]
        program += ["--checkpoint=fast", "--no-sync", "--dbname", os.environ["DATABASE_URL"]]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.fail(f"The primary could not be copied:\n{done.stderr}")
        self.server.data.chmod(0o700)
        self.server.prepare()

    def start(self) -> None:
        """Start the standby, and wait until it answers."""
        self.process = self.server.start()
        deadline = time.monotonic() + 60
        while not self.server.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = launch.read_last_lines(self.server.log, 40) if self.server.log else ""
                pytest.fail(f"The standby did not start:\n{log}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the standby as a failing machine would: it says nothing to its clients."""
        if self.process is not None:
            launch.kill(launch.process_tree(self.process.pid))
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the standby's processes while the block runs: the kernel still takes its connections and what is sent."""
        assert self.process is not None
        frozen = launch.process_tree(self.process.pid)
        for process in frozen:
            process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in frozen:
                process.send(signal.SIGCONT)

    def end(self) -> None:
        """End the standby; its data is thrown away."""
        if self.process is not None:
            launch.end(self.process, stop_signal=signal.SIGQUIT, seconds=10)

    def fetch(self, statement: str) -> Any:
        """Return the only value that a statement returns."""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            (value,) = cursor.fetchone()
            return value

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the replay while the block runs, once it has everything that was written before."""
        with closing(psycopg2.connect(get_test_database_url())) as connection, connection.cursor() as cursor:
            # Also what a commit has not waited for: the tests' server does not flush at a commit.
            cursor.execute("SELECT pg_current_wal_insert_lsn()::text")
            (written,) = cursor.fetchone()
        # A record that moves the position behind the one above, whose last page may be empty.
        with closing(psycopg2.connect(get_test_database_url())) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_logical_emit_message(true, 'tests', 'paused')")
            connection.commit()
        deadline = time.monotonic() + 30
        while not self.fetch(f"SELECT pg_last_wal_replay_lsn() >= '{written}'"):
            assert time.monotonic() < deadline, "the standby does not replay"
            time.sleep(0.02)
        self.fetch("SELECT pg_wal_replay_pause()::text")
        while self.fetch("SELECT pg_get_wal_replay_pause_state()") != "paused":
            assert time.monotonic() < deadline, "the replay does not pause"
            time.sleep(0.02)
        try:
            yield
        finally:
            if self.process is not None and self.process.poll() is None:
                self.fetch("SELECT pg_wal_replay_resume()::text")


@contextmanager
def start_standby() -> Iterator[Standby]:
    """Run a standby of the tests' server while the block runs."""
    # Not a folder of pytest: started by root, PostgreSQL runs as `nobody` and has to get through.
    folder = Path(tempfile.mkdtemp(prefix="portal-standby-"))
    folder.chmod(0o711)
    standby = Standby(folder)
    try:
        standby.copy_primary()
        standby.start()
        yield standby
    finally:
        standby.end()
        shutil.rmtree(folder, ignore_errors=True)
