"""Delete VMs."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from django.db import transaction

from api.preconditions import check_if_match
from tasks import engine
from tasks.engine import Spec
from tenants.scoping import Role, Scope

from ..commands.removal import RemoveVmCommand
from ..models import VirtualMachine
from .control import ControlResult
from .locked_vms import lock_vm, update_locked_vm


def remove_vm(
    *,
    scope: Scope,
    vm_id: UUID,
    volumes: Literal["delete", "keep"] = "delete",
    force: bool = False,
    dry_run: bool = False,
    if_match: str | None = None,
) -> ControlResult:
    """Delete a VM, with its volumes or without.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `wrong_state` (stop it first, or force it),
    `has_snapshots`; 412 when `if_match` is of an older version.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN)
        check_if_match(if_match, vm.version)
        command = RemoveVmCommand(str(vm.pk), volumes, force)
        command.vm = vm
        spec = Spec(command, vm.information_system.tenant)
        (answer,) = engine.submit_many([spec], user=scope.user, dry_run=dry_run)
        if answer.refusal is not None:
            raise answer.refusal
        if answer.job is not None and not answer.joined:
            update_locked_vm(vm, desired_state=VirtualMachine.DesiredState.REMOVED)
        return ControlResult(vm, changed=not answer.joined, job=answer.job, holder=answer.job)
