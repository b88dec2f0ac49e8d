"""Turn deletion protection of VMs on and off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from django.db.models import F
from django.db.models.functions import Now

from api.messages import message as _
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role, Scope

from ..models import VirtualMachine, VMOperationLog
from .bulk import NOTHING_TO_DO, BulkAction, Plan

# The jobs that delete a VM: protection that is turned on during one of them would protect nothing.
REMOVING_KINDS = frozenset({"vms.remove", "vms.move_to_bin"})


def role_to_set_protection(*, is_on: bool) -> Role:
    """Return the role that turning protection on or off requires: who turns it off makes way for a deletion."""
    return Role.OPERATOR if is_on else Role.ADMIN


def list_removing_jobs(vms: Sequence[VirtualMachine]) -> dict[str, Job]:
    """Return the jobs in flight that delete one of the locked VMs, by the VM's lock key."""
    holders = engine.lock_holders(vm.lock_key for vm in vms)
    return {key: job for key, job in holders.items() if job.kind in REMOVING_KINDS}


def log_protection(scope: Scope, vms: Sequence[VirtualMachine], *, is_on: bool) -> None:
    """Append to the operation logs of VMs that their protection was turned on or off."""
    detail = _("Deletion protection turned on.") if is_on else _("Deletion protection turned off.")
    VMOperationLog.objects.bulk_create(
        VMOperationLog.of(vm, VMOperationLog.Operation.CHANGE, user=scope.user, detail=detail) for vm in vms
    )


@dataclass(frozen=True, slots=True)
class ProtectionRequest(BulkAction):
    """Turn the protection of many VMs on or off."""

    scope: Scope
    is_on: bool

    role: ClassVar[Role] = Role.OPERATOR

    def check(self) -> None:
        """Require an administrator to turn protection off."""
        self.scope.require(role_to_set_protection(is_on=self.is_on), VirtualMachine)

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the change of each VM whose protection is different."""
        changing = [vm for vm in vms if vm.deletion_protection != self.is_on]
        removing = list_removing_jobs(changing) if self.is_on and changing else {}
        return [self._plan_one(vm, removing) for vm in vms]

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the protection and the operation log."""
        for vm in vms:
            vm.deletion_protection = self.is_on
        VirtualMachine.objects.filter(pk__in=[vm.pk for vm in vms]).update(
            deletion_protection=self.is_on, version=F("version") + 1, updated_at=Now()
        )
        log_protection(self.scope, vms, is_on=self.is_on)

    def _plan_one(self, vm: VirtualMachine, removing: dict[str, Job]) -> Plan:
        if vm.deletion_protection == self.is_on:
            return NOTHING_TO_DO
        if vm.lock_key in removing:
            return Plan(refusal=engine.BusyError(removing[vm.lock_key]))
        return Plan(changes_row=True)
