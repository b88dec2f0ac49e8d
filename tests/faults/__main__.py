"""`python -m tests.faults CAMPAIGN --seed 1`: run one campaign of faults, and print its report.

Every campaign starts servers of its own and needs nothing that runs already. Exit code 0: every invariant holds. 1: one is
broken. 2: the campaign itself could not be run. 130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from .creation.campaign import CreationCampaign
from .deploys.campaign import DeployCampaign
from .framework.campaign import Campaign
from .hosts.campaign import HostsCampaign
from .pool.campaign import PoolCampaign
from .realcloud.campaign import RealCloudCampaign
from .soak.campaign import SoakCampaign
from .storm.campaign import StormCampaign
from .upgrade.campaign import UpgradeCampaign

CAMPAIGNS: tuple[type[Campaign], ...] = (
    StormCampaign,
    SoakCampaign,
    CreationCampaign,
    PoolCampaign,
    DeployCampaign,
    RealCloudCampaign,
    HostsCampaign,
    UpgradeCampaign,
)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="CAMPAIGN")
    for campaign in CAMPAIGNS:
        summary, _, rest = (campaign.__doc__ or "").partition("\n")
        subparser = subparsers.add_parser(campaign.name, help=summary, description=f"{summary} {rest}")
        subparser.set_defaults(campaign=campaign)
        subparser.add_argument("--seed", type=int, default=1, help="the same seed gives the same load")
        subparser.add_argument("--json", type=Path, help="write the report to this file as well")
        subparser.add_argument("--keep-logs", action="store_true", help="also when every invariant holds")
        subparser.add_argument("--quiet", action="store_true", help="print the report alone")
        campaign.add_arguments(subparser)
    return parser.parse_args()


def main() -> int:
    """Run one campaign, and return the exit code."""
    options = read_options()
    began = time.monotonic()

    def log(line: str) -> None:
        if not options.quiet:
            sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {line}\n")
            sys.stdout.flush()

    try:
        report = options.campaign(options, log).run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; everything was ended.\n")
        return 130
    except Exception:  # noqa: BLE001 - an error of the campaign is no verdict on the portal.
        traceback.print_exc()
        return 2
    if options.json:
        options.json.write_text(report.as_json() + "\n")
    sys.stdout.write("\n".join([*report.lines(), ""]))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
