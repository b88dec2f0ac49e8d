"""`python -m tests.faults.realcloud --cloud demo --pids /run/cloud --start /opt/cloud/up`: kill what a real cloud is made of.

While mixed jobs run, each process in turn is killed (and started again after a while) or frozen (and let go on). Then every
job has to end within a minute, rows and cloud have to agree, and nothing may be left over. It needs the rights to signal the
cloud's processes. Exit code 0: all of it holds. 1: something does not. 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .campaign import DAEMONS, RealCampaign
from .daemons import Daemons


def main() -> int:
    """Run all, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.realcloud", description=__doc__)
    parser.add_argument(
        "--cloud", required=True, help="its name in clouds.yaml, for a project that may be filled"
    )
    parser.add_argument("--pids", required=True, type=Path, help="the folder of its pid files, <daemon>.pid")
    parser.add_argument("--start", required=True, help="the command that starts what does not run")
    parser.add_argument("--only", default=",".join(DAEMONS), help="which processes, by commas")
    parser.add_argument("--how", default="kill,freeze", help="what is done to them, by commas")
    parser.add_argument("--jobs", type=int, default=36, help="how many jobs make a load")
    parser.add_argument("--down-seconds", type=float, default=30.0, help="how long the process is away")
    parser.add_argument("--within", type=float, default=60.0, help="how soon all jobs have to end after that")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same wishes")
    given = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
        sys.stdout.flush()

    campaign = RealCampaign(
        cloud=given.cloud,
        daemons=Daemons(given.pids, given.start),
        only=given.only.split(","),
        how=given.how.split(","),
        say=say,
        jobs=given.jobs,
        down_seconds=given.down_seconds,
        within=given.within,
        seed=given.seed,
    )
    try:
        runs = campaign.run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; everything was ended.\n")
        return 130
    sys.stdout.write(
        "\n".join(
            ["", "A real cloud whose processes die", "", *(run.line(given.within) for run in runs), "", ""]
        )
    )
    return 0 if all(run.holds and run.after is not None and run.after <= given.within for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
