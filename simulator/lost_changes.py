"""Changes that the cloud accepts and then loses, as when a service dies while it handles a message."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from .state import Region, State

# Longer than any test, so that a change scheduled for then never happens.
_NEVER = 1e9
_DURATIONS = ("build_seconds", "action_seconds", "volume_seconds")


@contextmanager
def lose_changes(state: State, region: Region, *, everything: bool) -> Iterator[None]:
    """Never continue what starts inside the block; with `everything`, leave no trace of it."""
    clock = state.clock
    durations = {name: getattr(clock, name) for name in _DURATIONS}
    snapshot = copy.deepcopy((region.servers, region.volumes, region.snapshots)) if everything else None
    for name in _DURATIONS:
        setattr(clock, name, _NEVER)
    try:
        yield
    finally:
        for name, seconds in durations.items():
            setattr(clock, name, seconds)
        if snapshot is None:
            _forget_plans(region, clock.now())
        else:
            region.servers, region.volumes, region.snapshots = snapshot
            region.invalidate_order()


def _forget_plans(region: Region, now: float) -> None:
    for server in region.servers.values():
        left = [step for step in server.plan if step[0] < now + _NEVER / 100]
        if len(left) < len(server.plan) and server.actions:
            # An action whose message was lost has no events.
            server.actions[0]["lost"] = True
        server.plan = left
    for resource in (*region.volumes.values(), *region.snapshots.values()):
        if resource.get("_plan") and resource["_plan"][0] >= now + _NEVER / 100:
            del resource["_plan"]
