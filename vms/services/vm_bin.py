"""Restore VMs from the bin, and empty it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from tasks import engine
from tasks.engine import Spec
from tasks.operations import operation
from tenants.scoping import Role, Scope

from ..commands.vm_bin import RestoreVmCommand
from ..models import VirtualMachine
from .bulk import BulkAction, ControlResult, Plan, run_bulk_action
from .locked_vms import lock_vm, touch_submitted_vms, touch_vms
from .removal import RemovalRequest

BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class RestoreRequest(BulkAction):
    """The restoring of VMs from the bin."""

    role: ClassVar[Role] = Role.ADMIN
    works_in_bin: ClassVar[bool] = True

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the restoring of each VM; the command refuses those that are not in the bin."""
        commands = [RestoreVmCommand(str(vm.pk)) for vm in vms]
        for command, vm in zip(commands, vms, strict=True):
            command.vm = vm
        return [Plan(command) for command in commands]

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write nothing but `written_at`: the row is restored at the end of the job."""
        touch_vms(vms)


@operation("vms.restore", RestoreVmCommand)
def restore_vm(*, scope: Scope, vm_id: UUID) -> ControlResult:
    """Restore a VM from the bin, running if it ran. Raises `NotFoundError`; 403 `role_too_low`; 409 `busy`, `not_in_bin`, `gone`."""
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN, may_be_in_bin=True)
        (result,) = run_bulk_action(scope=scope, vm_ids=[vm.pk], action=RestoreRequest())
        if result.refusal is not None:
            raise result.refusal
        return result


def empty_vm_bin() -> int:
    """Submit the deletion of VMs whose time in the bin is over; return how many.

    A VM that a job holds, or whose row is locked, waits for the next run, and so does one whose deletion has failed.
    """
    with transaction.atomic():
        over = VirtualMachine.objects.for_display().filter(bin_until__lt=timezone.now(), account__active=True)
        vms = list(over.order_by("pk").select_for_update(of=("self",), skip_locked=True)[:BATCH_SIZE])
        if not vms:
            return 0
        commands = [plan.command for plan in RemovalRequest(permanent=True).plan(vms)]
        specs = [
            Spec(command, vm.information_system.tenant)
            for command, vm in zip(commands, vms, strict=True)
            if command is not None
        ]
        return touch_submitted_vms(vms, engine.submit_many(specs, mode="valid"))
