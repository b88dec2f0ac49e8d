"""What keeps a VM from being removed besides its own state: what rooms above this one have put on it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from tasks.command import Refusal

# Why a VM, by its key, is not to be removed now. Asks the database alone.
Keeper = Callable[[UUID], list[Refusal]]
_keepers: list[Keeper] = []


def register_keeper(keeper: Keeper) -> None:
    """Have a room above asked before a VM is removed."""
    if keeper not in _keepers:
        _keepers.append(keeper)


def kept_by(vm_id: UUID) -> list[Refusal]:
    """Every reason that other rooms have against the removal of a VM."""
    return [refusal for keeper in _keepers for refusal in keeper(vm_id)]
