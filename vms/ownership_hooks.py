"""What the rooms above this one have to undo when a VM leaves its tenant."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

# Called with the VM's id in the transaction in which another tenant gets it. Writes to the database alone.
TenantChangeHook = Callable[[UUID], None]
_hooks: list[TenantChangeHook] = []


def register_tenant_change_hook(hook: TenantChangeHook) -> None:
    """Register a function of a room above, to run when a VM moves to another tenant."""
    if hook not in _hooks:
        _hooks.append(hook)


def run_tenant_change_hooks(vm_id: UUID) -> None:
    """Run the registered functions for a VM that moves to another tenant."""
    for hook in _hooks:
        hook(vm_id)
