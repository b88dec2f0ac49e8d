"""Steps that are waited for, and told on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

SECONDS_TO_START = 120


def wait_until(name: str, is_ready: Callable[[], bool]) -> None:
    """Wait until a server is ready. Exits when it is not in time."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not is_ready():
        if time.monotonic() > deadline:
            sys.exit(f"{name} was not ready in {SECONDS_TO_START} s")
        time.sleep(0.2)


def report(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
