"""The plan of a soak: first everything fails, also the portal's own processes; then rounds of faults and of quiet.

Processes are killed in the first part alone: afterwards they live until the end, so that their memory can be compared.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.faults.storm.plan import Event, Plan, make_plan, plan_external_changes, plan_faults

# Weights of the processes that are killed, by role and program. The names are those of `make up`.
VICTIMS = {
    ("child", "worker"): 60,
    ("main", "worker"): 8,
    ("child", "worker-sync"): 14,
    ("main", "worker-sync"): 4,
    ("child", "worker-deploy"): 10,
    ("main", "worker-deploy"): 4,
}
BEATS = ("beat",)
KILLING_SHARE, MAX_KILLING_SECONDS = 0.2, 480.0
SECONDS_PER_KILL = 6.0
# The first quiet, in which killed processes start and their memory settles.
FIRST_QUIET_SECONDS = 60.0
# Of each further round: its first half has faults, its second none.
ROUND_SECONDS = 300.0


def make_soak_plan(*, seed: int, seconds: float, vms: int, clicks_per_second: float) -> Plan:
    """Make the plan of a soak of this length. The same seed gives the same plan."""
    killing = min(KILLING_SHARE * seconds, MAX_KILLING_SECONDS)
    first = make_plan(
        seed=seed,
        kills=round(killing / SECONDS_PER_KILL),
        vms=vms,
        seconds=killing,
        clicks_per_second=clicks_per_second,
        victims=VICTIMS,
        beats=BEATS,
    )
    events = [event for event in first.events if not _removes_server(event)]
    begin, number = killing + FIRST_QUIET_SECONDS, 1
    while begin + ROUND_SECONDS <= seconds:
        events += _plan_round(begin, random.Random(f"{seed}/round/{number}"))
        begin, number = begin + ROUND_SECONDS, number + 1
    return replace(first, seconds=max(seconds, begin), events=tuple(events), calm=None)


def _plan_round(begin: float, dice: random.Random) -> list[Event]:
    """Plan the faults of one round; each kind comes once."""
    length = ROUND_SECONDS / 2
    events, _calm = plan_faults(length, dice)
    events += plan_external_changes(length, dice, removals=0)
    return sorted((replace(event, at=begin + event.at) for event in events), key=lambda event: event.at)


def _removes_server(event: Event) -> bool:
    # Its VM stays as a row without a server, which the invariants of volumes do not expect.
    return event.options.get("change") == "remove"
