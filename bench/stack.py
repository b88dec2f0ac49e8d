"""The servers of a benchmark, on free ports and in a temporary folder that is removed at the end.

Django reads its settings when it is set up, so `Stack()` must come before anything of Django is imported.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from devserver import launch
from devserver.postgres import Postgres
from devserver.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Stack:
    """PostgreSQL (durable, as in `make up`) and Valkey; on demand the simulator, a web process and workers."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="portal-bench-"))
        self.folder.chmod(0o711)
        self.running: list[subprocess.Popen[bytes]] = []
        try:
            self._prepare()
        except BaseException:
            self.stop()
            raise

    def _prepare(self) -> None:
        postgres = Postgres(
            folder=self.folder / "postgres",
            port=free_port(),
            password=secrets.token_hex(8),
            log=self.folder / "postgres.log",
        )
        postgres.prepare()
        self.running.append(postgres.start())
        valkey = Valkey(
            folder=self.folder / "valkey",
            port=free_port(),
            password=secrets.token_hex(8),
            log=self.folder / "valkey.log",
        )
        self.running.append(valkey.start())
        self.wait(lambda: postgres.is_ready() and valkey.is_ready(), "the servers")
        os.environ.update(
            DATABASE_URL=postgres.url,
            REDIS_URL=valkey.url(),
            DJANGO_SETTINGS_MODULE="bench.settings",
            LOG_LEVEL="ERROR",
        )
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def wait(self, is_ready: Callable[[], object], what: str, seconds: float = 40) -> None:
        """Wait until a server is ready. Exits with the ends of the logs if it does not get ready in time."""
        until = time.monotonic() + seconds
        while not is_ready():
            if time.monotonic() > until:
                logs = "\n".join(launch.read_last_lines(log, 10) for log in self.folder.glob("*.log"))
                sys.exit(f"{what} did not start:\n{logs}")
            time.sleep(0.05)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Python module as a program."""
        process = launch.start(
            [sys.executable, "-m", *arguments],
            log=self.folder / f"{name}.log",
            folder=REPOSITORY,
            environment=os.environ,
            when_parent_dies=signal.SIGKILL,
        )
        self.running.append(process)
        return process

    def start_simulator(self) -> str:
        """Start the simulated cloud, and return its address."""
        port = free_port()
        # The port as seed: two simulators of one run must not give out the same ids.
        self.start("simulator", "simulator", "--port", str(port), "--seed", str(port))
        url = f"http://127.0.0.1:{port}"
        self.wait(lambda: answers(f"{url}/_control/objects"), "The simulator")
        return url

    def start_web(self, workers: int = 2, threads: int = 16, module: str = "portal.wsgi") -> str:
        """Start gunicorn as the portal runs it, and return its address."""
        port = free_port()
        self.start(
            "web",
            "gunicorn",
            module,
            "-c",
            "portal/gunicorn_config.py",
            "--workers",
            str(workers),
            "--threads",
            str(threads),
            "-b",
            f"127.0.0.1:{port}",
        )
        self.wait(lambda: answers(f"http://127.0.0.1:{port}/health/live"), "The web process")
        return f"http://127.0.0.1:{port}"

    def start_worker(
        self, queues: str, concurrency: int, include: str = "bench.commands"
    ) -> subprocess.Popen[bytes]:
        """Start a Celery worker that includes modules of the benchmark, and wait until it answers."""
        from portal.celery import app

        name = f"bench-{secrets.token_hex(3)}@localhost"
        process = self.start(
            name,
            "celery",
            "-A",
            "portal",
            "worker",
            "-I",
            include,
            "-Q",
            queues,
            "-c",
            str(concurrency),
            "-n",
            name,
            "--without-gossip",
            "--without-mingle",
        )
        self.wait(lambda: app.control.ping(destination=[name], timeout=0.3), "The worker")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a program."""
        self.running.remove(process)
        launch.end(process, stop_signal=signal.SIGTERM, seconds=10)

    def stop(self) -> None:
        """End every program and server, and remove the folder."""
        for process in reversed(self.running):
            launch.end(process, stop_signal=signal.SIGINT, seconds=10)
        shutil.rmtree(self.folder, ignore_errors=True)


def answers(url: str) -> bool:
    """Return whether something answers at an address."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True
