"""Figures with the limits that they are compared with; how the lines of a run are printed and saved."""

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
    """A measured value, its limit, and the ratio that has to be at most or at least `to_reach`."""

    title: str
    measured: str
    limit: str
    ratio: float
    to_reach: float
    side: Literal["at most", "at least"]

    @property
    def reached(self) -> bool:
        """Return whether the ratio is on the right side."""
        return self.ratio <= self.to_reach if self.side == "at most" else self.ratio >= self.to_reach


@dataclass(frozen=True, slots=True)
class Note:
    """A measured value without a limit, kept because its change from run to run is of interest."""

    title: str
    measured: str
    value: float


Line = Figure | Note


def measure(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_median(
    times: int, work: Callable[[], object], *, before: Callable[[], object] = lambda: None
) -> float:
    """Return the median of several measurements in seconds. `before` is called before each and not measured."""
    seconds = []
    for _ in range(times):
        before()
        seconds.append(measure(work))
    return statistics.median(seconds)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def print_lines(name: str, lines: Sequence[Line]) -> None:
    """Print the lines of a run as a table."""
    print(f"\n{name}")
    width = max(len(line.title) for line in lines)
    for line in lines:
        if isinstance(line, Note):
            print(f"  {line.title:<{width}}  {line.measured:>24}")
            continue
        verdict = "reached" if line.reached else "NOT REACHED"
        print(
            f"  {line.title:<{width}}  {line.measured:>24}  limit {line.limit:>24}"
            f"  {line.ratio:8.2f} ({line.side} {line.to_reach:g})  {verdict}"
        )


def save(name: str, lines: Sequence[Line]) -> Path:
    """Write the lines of a run as JSON to `bench/results/`, and return the path."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    figures = [{**asdict(line), "reached": line.reached} for line in lines if isinstance(line, Figure)]
    notes = [asdict(line) for line in lines if isinstance(line, Note)]
    run = {
        "bench": name,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        # On a busy machine, seconds mean little, and ratios a little more.
        "processors": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
    path.write_text(json.dumps({**run, "figures": figures, "notes": notes}, indent=2) + "\n")
    return path
