"""`python -m bench [NAME ...]`: all benchmarks unless some are named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from .claim import claim
from .control import control
from .deploy import deploy
from .engine import engine
from .figures import Line, keep, show
from .listing import listing
from .poll import poll
from .resources import resources
from .stack import Stack
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
    """Run benchmarks one after another, each on servers of its own data."""
    if unknown := [name for name in names if name not in BENCHES]:
        sys.exit(f"There is no benchmark '{unknown[0]}'; there are: {', '.join(BENCHES)}.")
    stack = Stack()
    try:
        for name in names or BENCHES:
            lines = BENCHES[name](stack)
            show(name, lines)
            keep(name, lines)
    finally:
        stack.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
