"""Checks of the rooms above this one before a VM is deleted."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tasks.command import Refusal

# Returns why a VM, by its key, must not be deleted now. Reads the database alone.
RemovalGuard = Callable[[UUID], list[Refusal]]
_guards: list[RemovalGuard] = []


def register_removal_guard(guard: RemovalGuard) -> None:
    """Register a check of a room above, to run before a VM is deleted."""
    if guard not in _guards:
        _guards.append(guard)


def removal_refusals(vm_id: UUID) -> list[Refusal]:
    """Return every reason of the registered checks against the deletion of a VM."""
    return [refusal for guard in _guards for refusal in guard(vm_id)]
