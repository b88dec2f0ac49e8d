"""`python -m tests.faults.creation --seed 1 --runs 300`: create and remove VMs while workers die and the cloud fails.

Exit code 0: every invariant holds. 1: one is broken. 130: interrupted.
"""

from __future__ import annotations

import sys

from tests.faults.campaigns import run_program

from .campaign import Campaign


def main() -> int:
    """Run one campaign, and print its table."""
    return run_program(
        "tests.faults.creation",
        __doc__,
        "how many VMs are created",
        lambda seed, runs, say, kill_every: Campaign(seed, runs, say, kill_every=kill_every),
        kill_every=5.0,
    )


if __name__ == "__main__":
    sys.exit(main())
