"""Slow down processes of a cloud on this machine, so that a test can look at an action while it goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

RUNS_SECONDS, STOPS_SECONDS = 0.02, 0.4


def find_processes(names: Collection[str]) -> list[int]:
    """Return the ids of the processes that run a program with one of these names. Raises LookupError for a name that none runs."""
    found: dict[str, list[int]] = {name: [] for name in names}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            for name in {Path(word).name for word in words[:5]} & found.keys():
                found[name].append(int(folder.name))
    if missing := [name for name, processes in found.items() if not processes]:
        raise LookupError(
            f"No process of this machine runs {', '.join(missing)} (PORTAL_TEST_CLOUD_WORKERS)."
        )
    return [process for processes in found.values() for process in processes]


@contextlib.contextmanager
def slowed_processes(processes: Collection[int]) -> Iterator[None]:
    """Let processes run for a twentieth of the time only, until the block ends.

    They are not stopped altogether, because requests that wait for one of them would not be answered before their time limit.
    """
    ends = threading.Event()

    def send(number: signal.Signals) -> None:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def alternate() -> None:
        while not ends.is_set():
            send(signal.SIGSTOP)
            ends.wait(STOPS_SECONDS)
            send(signal.SIGCONT)
            ends.wait(RUNS_SECONDS)

    if not processes:
        yield
        return
    send(signal.SIGSTOP)
    thread = threading.Thread(target=alternate, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
