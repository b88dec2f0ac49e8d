"""What every campaign of faults is as a program: its arguments, what it says while it runs, and its table."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

# After the last wish, deaths and faults go on while its job does, but not for ever: a few wishes are apply_filters within a second,
# and nothing would meet them.
AFTER_THE_LAST_SECONDS = 20.0


class Outcome(Protocol):
    """What a campaign ends with."""

    @property
    def holds(self) -> bool: ...
    def lines(self) -> list[str]: ...


class Campaign(Protocol):
    """A seeded run."""

    def run(self) -> Outcome: ...


def run_program(
    name: str,
    description: str | None,
    runs: str,
    make: Callable[[int, int, Callable[[str], None], float], Campaign],
    *,
    kill_every: float,
) -> int:
    """Run one campaign, and print its table; the exit code: 0 every invariant holds, 1 one is broken, 130 interrupted."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same wishes")
    parser.add_argument("--runs", type=int, default=300, help=runs)
    parser.add_argument(
        "--kill-every", type=float, default=kill_every, help="steps between two kills, on average"
    )
    parser.add_argument("--quiet", action="store_true", help="print the table alone")
    given = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        if not given.quiet:
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
            sys.stdout.flush()

    try:
        outcome = make(given.seed, given.runs, say, given.kill_every).run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; everything was ended.\n")
        return 130
    sys.stdout.write("\n".join([*outcome.lines(), "", ""]))
    return 0 if outcome.holds else 1


def table(
    title: str,
    rows: Sequence[tuple[str, object]],
    counts: Mapping[str, Counter[str]],
    verdicts: Mapping[str, Sequence[str]],
) -> list[str]:
    """The lines of a campaign's table: its figures, what happened how often, and what holds."""
    found = [title, "", *[f"  {what:<60} {value!s:>18}" for what, value in rows]]
    for name, counted in counts.items():
        found += ["", name, *[f"  {what:<60} {count:>18}" for what, count in sorted(counted.items())]]
    found += ["", "Invariants"]
    for name, wrong in verdicts.items():
        found.append(f"  {name:<60} {f'BROKEN {len(wrong)} times' if wrong else 'holds':>18}")
        found += [f"      {one}" for one in wrong[:8]]
    return found
