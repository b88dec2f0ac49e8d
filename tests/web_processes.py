"""Real web processes for tests: gunicorn against the test's own database and broker."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings

from devserver import launch
from tests.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "portal" / "gunicorn_config.py"
_numbers = itertools.count(1)


@dataclass
class WebProcess:
    """A running web process and its address."""

    url: str
    process: subprocess.Popen[bytes]


def get_test_database_url() -> str:
    """Return the address of the database of this test process, to which pytest-django gives a name of its own."""
    address = urlsplit(os.environ["DATABASE_URL"])
    return address._replace(path=f"/{settings.DATABASES['default']['NAME']}").geturl()


@contextmanager
def start_web_process(
    folder: Path,
    *,
    module: str = "portal.wsgi",
    workers: int = 1,
    threads: int = 8,
    environment: dict[str, str] | None = None,
) -> Iterator[WebProcess]:
    """Serve a WSGI module while the block runs; `environment` holds additional variables.

    The process answers when the block begins. It sees only what the test has committed.
    """
    log = folder / f"web-{next(_numbers)}.log"
    for _ in range(3):  # Another program may take the free port before this one starts.
        address = f"127.0.0.1:{free_port()}"
        program = [sys.executable, "-m", "gunicorn", module, "-b", address, "-c", str(CONFIG)]
        program += ["--workers", str(workers), "--threads", str(threads)]
        process = launch.start(
            program,
            log=log,
            folder=REPOSITORY,
            environment={**os.environ, "DATABASE_URL": get_test_database_url(), **(environment or {})},
            when_parent_dies=signal.SIGKILL,
        )
        if _answers(process, f"http://{address}/health/live"):
            break
        launch.end(process, stop_signal=signal.SIGQUIT, seconds=5)
    else:
        pytest.fail(f"The web process did not start:\n{launch.read_last_lines(log, 40)}")
    try:
        yield WebProcess(f"http://{address}", process)
    finally:
        launch.end(process, stop_signal=signal.SIGQUIT, seconds=2)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return requests.get(url, timeout=5).ok
        except requests.ConnectionError:
            time.sleep(0.05)
    return False
