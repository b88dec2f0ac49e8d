"""The portal's processes on their hosts: `app-a.web` runs on `app-a`. A host can die with all of them, and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devserver import launch
from tests.faults.framework.processes import Processes
from tests.faults.framework.servers import REPOSITORY

from .clocks import WrongClock
from .namespaces import entered
from .servers import WEB_PORT, HostServers

QUEUES = "jobs,polling,sync,resources,volumepool,deploys"
WORKER_PROCESSES = 3


class HostProcesses(Processes):
    """The processes of the portal on several hosts.

    `with_clocks` has the hosts whose clock can be set.
    """

    servers: HostServers

    def __init__(self, servers: HostServers, with_clocks: tuple[str, ...] = ()) -> None:
        super().__init__(servers)
        self.clocks = {host: WrongClock.create(servers.folder, host) for host in with_clocks}

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

    def set_clock(self, host: str, seconds: int) -> None:
        """Set the clock of a host's processes this many seconds ahead of the true time, or behind it."""
        self.clocks[host].set(seconds)

    def _launch(self, name: str, arguments: Sequence[str | Path], folder: Path) -> subprocess.Popen[bytes]:
        host = name.partition(".")[0]
        environment = dict(os.environ)
        if name.endswith(".beat"):
            # The log tells which beat has sent what.
            environment["LOG_LEVEL"] = "INFO"
        if host in self.clocks:
            environment |= self.clocks[host].environment
        with entered(self.servers.hosts[host]):
            return launch.start(
                [sys.executable, *arguments],
                log=self.servers.folder / f"{name}.log",
                folder=folder,
                environment=environment,
                when_parent_dies=signal.SIGKILL,
            )
