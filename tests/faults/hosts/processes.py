"""The portal's processes on their hosts: `app-a.web` runs on `app-a`. A host can die with all of them, and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devserver import launch
from tests.faults.framework.processes import Processes
from tests.faults.framework.servers import REPOSITORY

from .namespaces import entered
from .servers import WEB_PORT, HostServers

QUEUES = "jobs,polling,sync,resources,volumepool,deploys"
WORKER_PROCESSES = 3
FAKETIME_LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib*/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
# A process reads the file with its clock again after this time.
CLOCK_CACHE_SECONDS = "1"


def find_faketime() -> Path | None:
    """Return the library that gives a process a wrong clock; None where it is not installed."""
    found = (path for pattern in FAKETIME_LIBRARIES for path in Path("/").glob(pattern.lstrip("/")))
    return next(found, None)


class HostProcesses(Processes):
    """The processes of the portal on several hosts.

    `with_clocks` has the hosts whose clock can be set; it costs each of their processes a little for every look at it.
    """

    servers: HostServers

    def __init__(self, servers: HostServers, with_clocks: tuple[str, ...] = ()) -> None:
        super().__init__(servers)
        self.faketime = find_faketime() if with_clocks else None
        self.with_clocks = with_clocks if self.faketime else ()
        for host in self.with_clocks:
            self.set_clock(host, 0)

    def start_host(self, host: str) -> None:
        """Start web, worker and beat on a host, and restart each from now on when it dies."""
        address = self.servers.hosts[host].address
        config = REPOSITORY / "portal" / "gunicorn_config.py"
        programs = {
            "web": f"-m gunicorn -b {address}:{WEB_PORT} -c {config}",
            "worker": "-m celery -A portal worker --without-gossip --without-mingle"
            f" -Q {QUEUES} -c {WORKER_PROCESSES} -n worker@{host}",
            "beat": "-m celery -A portal beat --pidfile= -l INFO",
        }
        for name, arguments in programs.items():
            self.start(f"{host}.{name}", arguments)

    def kill_host(self, host: str) -> None:
        """Kill everything of the portal on a host; nothing of it is restarted until `start_host`."""
        names = [name for name in self.programs if name.startswith(f"{host}.")]
        programs = [self.programs.pop(name) for name in names]
        trees = [process for program in programs for process in launch.process_tree(program.process.pid)]
        launch.kill(trees)
        for program in programs:
            program.process.wait()
        launch.wait_until_gone(trees, seconds=5)

    def set_clock(self, host: str, seconds: float) -> None:
        """Set the clock of a host's processes this many seconds ahead of the true time, or behind it."""
        path = self._clock_file(host)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(f"{seconds:+.0f}\n")
        unfinished.rename(path)

    def _clock_file(self, host: str) -> Path:
        return self.servers.folder / f"{host}.clock"

    def _launch(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        host = name.partition(".")[0]
        environment = {**os.environ, **self._get_environment(host, name)}
        with entered(self.servers.hosts[host]):
            return launch.start(
                [sys.executable, *arguments],
                log=self.servers.folder / f"{name}.log",
                folder=REPOSITORY,
                environment=environment,
                when_parent_dies=signal.SIGKILL,
            )

    def _get_environment(self, host: str, name: str) -> Mapping[str, str]:
        environment = {}
        if name.endswith(".beat"):
            # The log tells which beat has sent what.
            environment["LOG_LEVEL"] = "INFO"
        if host in self.with_clocks:
            environment |= {
                "LD_PRELOAD": str(self.faketime),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock_file(host)),
                "FAKETIME_CACHE_DURATION": CLOCK_CACHE_SECONDS,
                # A wrong clock shows another time of day; it does not make a pause shorter.
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_RESET": "1",
            }
        return environment
