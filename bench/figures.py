"""A figure with the limit it is held against, and how a run is printed and kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
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
        """Return whether the figure is on the right side."""
        return self.ratio <= self.to_reach if self.side == "at most" else self.ratio >= self.to_reach


@dataclass(frozen=True, slots=True)
class Note:
    """A line that is held against nothing, and kept because its change from run to run tells something."""

    what: str
    measured: str
    value: float


Line = Figure | Note


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


def show(name: str, lines: Sequence[Line]) -> None:
    """Print a table."""
    print(f"\n{name}")
    width = max(len(line.what) for line in lines)
    for line in lines:
        if isinstance(line, Note):
            print(f"  {line.what:<{width}}  {line.measured:>24}")
            continue
        verdict = "reached" if line.reached else "NOT REACHED"
        print(
            f"  {line.what:<{width}}  {line.measured:>24}  limit {line.limit:>24}"
            f"  {line.ratio:8.2f} ({line.side} {line.to_reach:g})  {verdict}"
        )


def keep(name: str, lines: Sequence[Line]) -> Path:
    """Write what a run has measured as JSON below `bench/results/`."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    figures = [{**asdict(line), "reached": line.reached} for line in lines if isinstance(line, Figure)]
    notes = [asdict(line) for line in lines if isinstance(line, Note)]
    run = {
        "bench": name,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        # What else the machine did: on a busy one, seconds mean little and ratios a little more.
        "processors": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
    path.write_text(json.dumps({**run, "figures": figures, "notes": notes}, indent=2) + "\n")
    return path
