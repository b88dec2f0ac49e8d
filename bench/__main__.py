"""`python -m bench [NAME ...]`: all benchmarks unless some are named."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

from devserver import launch

from .claim import claim
from .control import control
from .deploy import deploy
from .engine import engine
from .figures import Line, keep, show
from .listing import listing
from .poll import poll
from .resources import resources
from .stack import REPOSITORY, Stack
from .sync import sync, sync_naive
from .tree import tree

BENCHES: dict[str, Callable[[Stack], Sequence[Line]]] = {
    "sync": sync,
    "sync-naive": sync_naive,
    "resources": resources,
    "engine": engine,
    "poll": poll,
    "tree": tree,
    "claim": claim,
    "control": control,
    "list": listing,
    "deploy": deploy,
}


def main(names: list[str]) -> None:
    """Run benchmarks one after another, each in a process of its own with servers of its own.

    What one leaves behind (rows, messages, a web process that is still connected to the database, Django's settings)
    is not there for the next, and one that fails does not keep the others from running.
    """
    if unknown := [name for name in names if name not in BENCHES]:
        sys.exit(f"There is no benchmark '{unknown[0]}'; there are: {', '.join(BENCHES)}.")
    if len(names) == 1:
        run(names[0])
    elif failed := [name for name in names or BENCHES if not run_apart(name)]:
        sys.exit(f"Failed: {', '.join(failed)}.")


def run(name: str) -> None:
    """Run one benchmark here, on new servers."""
    stack = Stack()
    try:
        lines = BENCHES[name](stack)
        show(name, lines)
        keep(name, lines)
    finally:
        stack.stop()


def run_apart(name: str) -> bool:
    """Run one benchmark in a process of its own; whether it came to its end."""
    process = launch.start(
        [sys.executable, "-m", "bench", name], folder=REPOSITORY, when_parent_dies=signal.SIGINT
    )
    try:
        return process.wait() == 0
    finally:
        # Ctrl-C reaches this process alone; the other one ends its servers first.
        launch.end(process, stop_signal=signal.SIGINT, seconds=60)


if __name__ == "__main__":
    main(sys.argv[1:])
