"""A figure with the limit it is held against, and how a run is printed and kept."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ratio` is measured against the limit; `to_reach` says on which side it must be."""

    what: str
    measured: str
    limit: str
    ratio: float
    to_reach: float
    side: Literal["at most", "at least"]

    @property
    def reached(self) -> bool:
        """Whether the figure is on the right side."""
        return self.ratio <= self.to_reach if self.side == "at most" else self.ratio >= self.to_reach


def timed(work: Callable[[], object]) -> float:
    """Seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median_of(
    times: int, work: Callable[[], object], *, before: Callable[[], object] = lambda: None
) -> float:
    """The median of several timings in seconds; `before` each of them is not counted."""
    taken = []
    for _ in range(times):
        before()
        taken.append(timed(work))
    return statistics.median(taken)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def show(name: str, figures: list[Figure]) -> None:
    """Print a table."""
    print(f"\n{name}")
    width = max(len(figure.what) for figure in figures)
    for figure in figures:
        verdict = "reached" if figure.reached else "NOT REACHED"
        print(
            f"  {figure.what:<{width}}  {figure.measured:>24}  limit {figure.limit:>24}"
            f"  {figure.ratio:8.2f} ({figure.side} {figure.to_reach:g})  {verdict}"
        )


def keep(name: str, figures: list[Figure]) -> Path:
    """Write the figures of a run as JSON below `bench/results/`."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    rows = [{**asdict(figure), "reached": figure.reached} for figure in figures]
    run = {
        "bench": name,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({**run, "figures": rows}, indent=2) + "\n")
    return path
