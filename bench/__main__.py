"""`python -m bench [NAME ...]`: run the named benchmarks, or all."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence

from devserver import launch

from .adoption import measure_adoption
from .aws import measure_aws
from .claim import measure_claims
from .control import measure_control
from .dependencies import measure_dependencies
from .deploy import measure_deployments
from .engine import measure_engine
from .figures import Line, print_lines, save
from .listing import measure_listing
from .poll import measure_polling
from .resources import measure_resource_sync
from .stack import REPOSITORY, Stack
from .sync import measure_naive_sync, measure_status_sync
from .tree import measure_trees

BENCHMARKS: dict[str, Callable[[Stack], Sequence[Line]]] = {
    "sync": measure_status_sync,
    "sync-naive": measure_naive_sync,
    "resources": measure_resource_sync,
    "aws": measure_aws,
    "engine": measure_engine,
    "poll": measure_polling,
    "tree": measure_trees,
    "claim": measure_claims,
    "control": measure_control,
    "list": measure_listing,
    "dependencies": measure_dependencies,
    "adoption": measure_adoption,
    "deploy": measure_deployments,
}


def main(names: list[str]) -> None:
    """Run benchmarks one after another, each in a process of its own with servers of its own.

    So none meets the rows, messages, connections and settings of another, and the others run even if one fails.
    """
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"There is no benchmark '{unknown[0]}'; there are: {', '.join(BENCHMARKS)}.")
    if len(names) == 1:
        run(names[0])
    elif failed := [name for name in names or BENCHMARKS if not run_in_process(name)]:
        sys.exit(f"Failed: {', '.join(failed)}.")


def run(name: str) -> None:
    """Run one benchmark in this process, on new servers."""
    stack = Stack()
    try:
        lines = BENCHMARKS[name](stack)
        print_lines(name, lines)
        save(name, lines)
    finally:
        stack.stop()


def run_in_process(name: str) -> bool:
    """Run one benchmark in a process of its own, and return whether it succeeded."""
    process = launch.start(
        [sys.executable, "-m", "bench", name], folder=REPOSITORY, when_parent_dies=signal.SIGINT
    )
    try:
        return process.wait() == 0
    finally:
        # Ctrl-C reaches this process only; the other one has to end its servers.
        launch.end(process, stop_signal=signal.SIGINT, seconds=60)


if __name__ == "__main__":
    main(sys.argv[1:])
