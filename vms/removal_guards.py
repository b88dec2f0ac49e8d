"""Checks of the rooms above this one before VMs are deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from tasks.command import Refusal

# Returns why VMs must not be deleted now, by their keys; VMs without a reason may be left out. Reads the database alone,
# with a number of statements that does not depend on the number of VMs.
RemovalGuard = Callable[[Sequence[UUID]], Mapping[UUID, list[Refusal]]]
_guards: list[RemovalGuard] = []


def register_removal_guard(guard: RemovalGuard) -> None:
    """Register a check of a room above, to run before VMs are deleted."""
    if guard not in _guards:
        _guards.append(guard)


def collect_guard_refusals(vm_ids: Sequence[UUID]) -> dict[UUID, list[Refusal]]:
    """Return every reason of the registered checks against the deletion of VMs, by VM."""
    found: dict[UUID, list[Refusal]] = {pk: [] for pk in vm_ids}
    for guard in _guards:
        for pk, refusals in guard(vm_ids).items():
            found[pk] += refusals
    return found
