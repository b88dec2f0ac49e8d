"""The samples of a soak: memory, descriptors and threads of each process, connections, queue ages and rows."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import redis
import requests

from devserver import launch
from tests.faults.framework.processes import Processes
from tests.faults.framework.servers import Servers
from tests.faults.storm.injections import Injections

SAMPLE_SECONDS = 5.0
# Rows are counted, and the memory of PostgreSQL's many processes is read, at every sixth sample.
ROWS_EVERY = 6
MEGABYTE = 1024 * 1024
# A request to the cloud that is not answered by then never will be. Longer than every delay.
ANSWERED_AFTER_SECONDS = 120.0
# No fault has been at work for this long: leases have run out, and pauses after failures are over.
QUIET_AFTER_SECONDS = 30.0
_METRIC = re.compile(r'^(portal_queue_(?:oldest_message_)?age_seconds)\{queue="(\w+)"\} (\S+)$', re.MULTILINE)
LIST_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


@dataclass(slots=True)
class ProcessSample:
    """One process at one moment."""

    program: str
    pid: int
    memory_mb: float
    descriptors: int
    threads: int


@dataclass(slots=True)
class Sample:
    """Everything at one moment, which is in seconds since the load began. What did not answer is None."""

    at: float
    is_quiet: bool
    processes: list[ProcessSample] = field(default_factory=list)
    server_memory_mb: dict[str, float] = field(default_factory=dict)
    postgres_connections: int | None = None
    valkey_connections: int | None = None
    # Of the queue that waits longest.
    queue_age: float | None = None
    queue: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    # Processes that want a processor, averaged over a minute: on a machine that others use, work waits for them, too.
    machine_load: float = 0.0


class Sampler(threading.Thread):
    """Takes a sample every few seconds, until `end` is called."""

    def __init__(self, url: str, servers: Servers, processes: Processes, injections: Injections) -> None:
        super().__init__(name="sampler", daemon=True)
        self.url, self.servers, self.processes, self.injections = url, servers, processes, injections
        self.samples: list[Sample] = []
        self.began = time.monotonic()
        # The requests with actions that the cloud got, by number: its own log is too short for hours.
        self.cloud_requests: dict[int, dict[str, Any]] = {}
        self._read_until = 0
        self._ended = threading.Event()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {os.environ.get('METRICS_TOKEN', '')}"
        self._connection: Any = None

    def run(self) -> None:
        """Take samples."""
        self.began = due = time.monotonic()
        number = 0
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            self.samples.append(self._take(is_full=number % ROWS_EVERY == 0))
            self.read_cloud_requests()
            number += 1
            due = max(due + SAMPLE_SECONDS, time.monotonic())

    def end(self) -> None:
        """Take no more samples."""
        self._ended.set()
        self.join()
        self.read_cloud_requests()

    def read_cloud_requests(self) -> None:
        """Read what has come into the cloud's log since the last call. Requests in progress are read again later."""
        with contextlib.suppress(requests.RequestException):
            log = self._session.get(
                f"{self.servers.cloud_url}/_control/requests", params={"since": self._read_until}, timeout=30
            ).json()["requests"]
            self.cloud_requests |= {entry["number"]: entry for entry in log if entry["action"]}
            old = time.time() - ANSWERED_AFTER_SECONDS
            for entry in log:
                if entry["status"] is None and entry["time"] > old:
                    return
                self._read_until = entry["number"]

    def count_rows(self) -> dict[str, int]:
        """Return the number of rows of each table; empty while PostgreSQL does not answer."""
        tables = sorted(str(table) for (table,) in self._query(LIST_TABLES))
        counts = [f"SELECT '{table}', count(*) FROM {table}" for table in tables]
        return {str(table): int(count) for table, count in self._query(" UNION ALL ".join(counts))}

    def _take(self, *, is_full: bool) -> Sample:
        quiet = self.injections.quiet_seconds > QUIET_AFTER_SECONDS
        sample = Sample(time.monotonic() - self.began, quiet, machine_load=os.getloadavg()[0])
        for name, program in list(self.processes.programs.items()):
            sample.processes += [
                found
                for process in launch.process_tree(program.process.pid)
                if (found := _read_process(name, process.pid)) is not None
            ]
        if is_full:
            sample.server_memory_mb = {
                name: round(launch.memory(process.pid) / MEGABYTE, 2)
                for name, process in list(self.servers.running.items())
            }
            sample.rows = self.count_rows()
        counted = self._query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        sample.postgres_connections = int(counted[0][0]) if counted else None
        sample.valkey_connections = self._count_valkey_connections()
        sample.queue_age, sample.queue = self._read_queue_age()
        return sample

    def _query(self, statement: str) -> list[Any]:
        """Return rows, on a connection of this thread; none while PostgreSQL does not answer, or for no statement."""
        if not statement:
            return []
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self.servers.postgres.url, connect_timeout=2)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self._connection = None
            return []

    def _count_valkey_connections(self) -> int | None:
        valkey = self.servers.valkey
        try:
            with redis.Redis(port=valkey.port, password=valkey.password, socket_timeout=2) as client:
                return int(client.info("clients")["connected_clients"])
        except redis.exceptions.RedisError:
            return None

    def _read_queue_age(self) -> tuple[float | None, str]:
        try:
            text = self._session.get(f"{self.url}/metrics", timeout=10).text
        except requests.RequestException:
            return None, ""
        ages = [(float(age), f"{queue} ({name})") for name, queue, age in _METRIC.findall(text)]
        return max(ages, default=(None, ""))


def _read_process(program: str, pid: int) -> ProcessSample | None:
    """Return the figures of a process; None if it has ended."""
    folder = Path("/proc") / str(pid)
    try:
        descriptors = len(list((folder / "fd").iterdir()))
        threads = len(list((folder / "task").iterdir()))
    except OSError:
        return None
    memory = launch.memory(pid, with_children=False)
    return ProcessSample(program, pid, round(memory / MEGABYTE, 3), descriptors, threads) if memory else None


def as_json(samples: list[Sample]) -> list[dict[str, Any]]:
    """Return the samples for the report."""
    return [asdict(sample) for sample in samples]
