"""What the rooms above this one have to undo when a VM leaves its tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

# Called with the ids of VMs in the transaction in which another tenant gets them. Writes to the database alone, with a
# number of statements that does not depend on the number of VMs.
TenantChangeHook = Callable[[Sequence[UUID]], None]
_hooks: list[TenantChangeHook] = []


def register_tenant_change_hook(hook: TenantChangeHook) -> None:
    """Register a function of a room above, to run when a VM moves to another tenant."""
    if hook not in _hooks:
        _hooks.append(hook)


def run_tenant_change_hooks(vm_ids: Sequence[UUID]) -> None:
    """Run the registered functions for VMs that move to another tenant."""
    for hook in _hooks:
        hook(vm_ids)
