"""Delete VMs: into the bin, or from the cloud."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError
from api.preconditions import check_if_match
from tasks.operations import operation
from tenants.scoping import Role, Scope

from ..commands.removal import RemoveVmCommand
from ..commands.vm_bin import MoveToBinCommand, is_lost
from ..models import VirtualMachine
from ..removal_checks import check_removals
from .bulk import BulkAction, ControlResult, Plan, run_bulk_action
from .locked_vms import lock_vm, touch_vms


def goes_to_bin(vm: VirtualMachine) -> bool:
    """Return whether a deletion moves the VM to the bin: there is a bin, and a server to keep in it."""
    return settings.BIN_DAYS > 0 and vm.openstack_id is not None and not is_lost(vm)


@dataclass(frozen=True, slots=True)
class RemovalRequest(BulkAction):
    """The deletion of VMs.

    `volumes` None is the choice of the move into the bin for a VM that is in it, and "delete" for any other. `permanent` deletes from the
    cloud at once, also what is in the bin.
    """

    volumes: Literal["delete", "keep"] | None = None
    force: bool = False
    permanent: bool = False

    role: ClassVar[Role] = Role.ADMIN
    works_in_bin: ClassVar[bool] = True

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the move into the bin, or the deletion, of each VM."""
        checks = check_removals(vms)
        plans = []
        for vm in vms:
            if vm.is_in_bin and not self.permanent:
                plans.append(Plan(refusal=_build_in_bin_error(vm)))
                continue
            command = self._build_command(vm)
            command.vm = vm
            command.check = checks[vm.pk]
            plans.append(Plan(command))
        return plans

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the desired state."""
        removed = VirtualMachine.DesiredState.REMOVED
        for vm in vms:
            vm.desired_state = removed
        touch_vms(vms, desired_state=removed)

    def _build_command(self, vm: VirtualMachine) -> RemoveVmCommand | MoveToBinCommand:
        if vm.is_in_bin:
            kept: Literal["delete", "keep"] = "delete" if vm.bin_deletes_volumes else "keep"
            # It was stopped for the bin; who has started its server in the cloud since does not hold it back.
            return RemoveVmCommand(str(vm.pk), self.volumes or kept, force=True)
        if not self.permanent and goes_to_bin(vm):
            return MoveToBinCommand(str(vm.pk), self.volumes or "delete")
        return RemoveVmCommand(str(vm.pk), self.volumes or "delete", self.force)


def _build_in_bin_error(vm: VirtualMachine) -> ConflictError:
    message = _("VM '%(name)s' is in the bin until %(date)s. Restore it, or delete it permanently.")
    assert vm.bin_until is not None  # A constraint of the table.
    values = {"name": vm.name, "date": f"{vm.bin_until:%Y-%m-%d %H:%M} UTC"}
    return ConflictError("in_bin", message % values, bin_until=vm.bin_until.isoformat())


@operation("vms.remove", RemoveVmCommand, MoveToBinCommand, omitted=["if_match"])
def remove_vm(
    *,
    scope: Scope,
    vm_id: UUID,
    volumes: Literal["delete", "keep"] | None = None,
    force: bool = False,
    permanent: bool = False,
    dry_run: bool = False,
    if_match: str | None = None,
) -> ControlResult:
    """Delete a VM, with its volumes or without: into the bin if there is one, else from the cloud.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 409 `busy`, `protected`, `in_bin` (delete it permanently),
    `wrong_state` (stop it first, or force it), `has_snapshots`; 412 when `if_match` is of an older version.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.ADMIN, may_be_in_bin=True)
        check_if_match(if_match, vm.version)
        (result,) = run_bulk_action(
            scope=scope,
            vm_ids=[vm.pk],
            action=RemovalRequest(volumes, force, permanent),
            dry_run=dry_run,
        )
        if result.refusal is not None:
            raise result.refusal
        return result
