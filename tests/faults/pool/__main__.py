"""`python -m tests.faults.pool --seed 1 --runs 300`: claim spares while workers die and the cloud fails and is changed.

Exit code 0: every invariant holds. 1: one is broken. 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time

from .campaign import Campaign


def main() -> int:
    """Run one campaign, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.pool", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same wishes")
    parser.add_argument("--runs", type=int, default=300, help="how many claims are made")
    parser.add_argument("--kill-every", type=float, default=8.0, help="steps between two kills, on average")
    parser.add_argument("--quiet", action="store_true", help="print the table alone")
    given = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        if not given.quiet:
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
            sys.stdout.flush()

    try:
        outcome = Campaign(given.seed, given.runs, say, kill_every=given.kill_every).run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; everything was ended.\n")
        return 130
    sys.stdout.write("\n".join([*outcome.lines(), "", ""]))
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
