"""Changes that the cloud accepts and then loses, as when a service dies while it handles a message."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from .ports import index_used_addresses
from .state import Region, State

# Longer than any test, so that a change scheduled for then never happens.
_NEVER = 1e9
_CHANGED_KINDS = (
    "servers", "volumes", "snapshots", "networks", "subnets", "ports", "routers", "floatingips", "security_groups",
    "security_group_rules", "keypairs", "server_groups", "migrations",
)  # fmt: skip
_DURATIONS = ("build_seconds", "action_seconds", "volume_seconds")


@contextmanager
def lose_changes(state: State, region: Region, *, everything: bool) -> Iterator[None]:
    """Never continue what starts inside the block; with `everything`, leave no trace of it."""
    clock = state.clock
    durations = {name: getattr(clock, name) for name in _DURATIONS}
    snapshot = copy.deepcopy({name: getattr(region, name) for name in _CHANGED_KINDS}) if everything else None
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
            for name, resources in snapshot.items():
                setattr(region, name, resources)
            index_used_addresses(region)
            region.invalidate_order()


def _forget_plans(region: Region, now: float) -> None:
    for server in region.servers.values():
        left = [step for step in server.plan if step[0] < now + _NEVER / 100]
        if len(left) < len(server.plan) and server.actions:
            # An action whose message was lost has no events.
            server.actions[0]["lost"] = True
        server.plan = left
        if server.addresses_due is not None and server.addresses_due >= now + _NEVER / 100:
            server.addresses_due = None
    for resource in (*region.volumes.values(), *region.snapshots.values(), *region.floatingips.values()):
        if resource.get("_plan") and resource["_plan"][0] >= now + _NEVER / 100:
            del resource["_plan"]
