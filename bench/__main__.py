"""`python -m bench [sync] [sync-naive] [engine] [control]`: all of them unless some are named."""

from __future__ import annotations

import sys
from collections.abc import Callable

from .control import control
from .engine import engine
from .figures import Figure, keep, show
from .stack import Stack
from .sync import sync, sync_naive

BENCHES: dict[str, Callable[[Stack], list[Figure]]] = {
    "sync": sync,
    "sync-naive": sync_naive,
    "engine": engine,
    "control": control,
}


def main(names: list[str]) -> None:
    """Run benchmarks one after another, each on servers of its own data."""
    if unknown := [name for name in names if name not in BENCHES]:
        sys.exit(f"There is no benchmark '{unknown[0]}'; there are: {', '.join(BENCHES)}.")
    stack = Stack()
    try:
        for name in names or BENCHES:
            figures = BENCHES[name](stack)
            show(name, figures)
            keep(name, figures)
    finally:
        stack.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
