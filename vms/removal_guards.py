"""Reasons of rooms above this one against the removal of a VM."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tasks.command import Refusal

# Returns why a VM, by its key, must not be removed now. Asks the database alone.
RemovalGuard = Callable[[UUID], list[Refusal]]
_guards: list[RemovalGuard] = []


def register_removal_guard(guard: RemovalGuard) -> None:
    """Have a room above asked before a VM is removed."""
    if guard not in _guards:
        _guards.append(guard)


def removal_refusals(vm_id: UUID) -> list[Refusal]:
    """Return every reason that other rooms have against the removal of a VM."""
    return [refusal for guard in _guards for refusal in guard(vm_id)]
