"""`python -m tests.faults.storm`: break everything under load and see whether anything was lost or done twice.

Exit code 0: every invariant holds. 1: one is broken. 2: the storm itself could not be run. 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from .plan import make_plan
from .storm import Storm


def main() -> int:
    """Run one storm, and print its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same plan")
    parser.add_argument("--kills", type=int, default=200, help="of worker processes")
    parser.add_argument("--vms", type=int, default=50)
    parser.add_argument(
        "--minutes", type=float, help="how long things break; unset, as long as the kills need"
    )
    parser.add_argument("--clicks", type=float, default=5.0, help="a second, of all people together")
    parser.add_argument("--small", action="store_true", help="leave out what takes long, for the test suite")
    parser.add_argument("--json", type=Path, help="write the report to this file as well")
    parser.add_argument("--keep-logs", action="store_true", help="also when every invariant holds")
    parser.add_argument("--quiet", action="store_true", help="print the report alone")
    given = parser.parse_args()
    plan = make_plan(
        seed=given.seed,
        kills=given.kills,
        vms=given.vms,
        seconds=given.minutes * 60 if given.minutes else None,
        clicks_per_second=given.clicks,
        small=given.small,
    )
    began = time.monotonic()

    def say(line: str) -> None:
        if not given.quiet:
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
            sys.stdout.flush()

    try:
        report = Storm(plan, say, keep_logs=given.keep_logs).run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; everything was ended.\n")
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, it is not the portal's verdict.
        traceback.print_exc()
        return 2
    if given.json:
        given.json.write_text(report.as_json() + "\n")
    verdict = "Every invariant holds." if report.passed else "An invariant is BROKEN."
    sys.stdout.write("\n".join([*report.lines(), "", verdict, ""]))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
