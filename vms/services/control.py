"""Request a power action on one VM, or on many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidError, NotFoundError
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.scoping import Role, Scope

from ..actions import ACTIONS
from ..commands.power import POWER_COMMANDS, RescueVmCommand, RestartVmCommand
from ..commands.resize import ConfirmResizeCommand, RevertResizeCommand
from ..commands.server import ServerCommand
from ..models import VirtualMachine
from .bulk import NOTHING_TO_DO, BulkAction, ControlResult, Plan, run_bulk_action
from .locked_vms import touch_vms

_COMMANDS: dict[str, type[ServerCommand]] = {
    **POWER_COMMANDS,
    ConfirmResizeCommand.action_name: ConfirmResizeCommand,
    RevertResizeCommand.action_name: RevertResizeCommand,
}


def build_unknown_action_error(name: str, known: Iterable[str]) -> InvalidError:
    """Return the 400 `unknown_action` for an action that does not exist, with those that do."""
    message = _("Unknown action '%(action)s'. Known: %(known)s.")
    return InvalidError(
        "unknown_action",
        message % {"action": name[:50], "known": ", ".join(known)},
        errors={"action": [_("Unknown action.")]},
    )


@operation("vms.control", *_COMMANDS.values())
def control_vm(
    *, scope: Scope, vm_id: UUID, action: str, hard: bool = False, dry_run: bool = False
) -> ControlResult:
    """Request an action on a VM, with the mechanism for many.

    Raises `NotFoundError` when the scope does not show it, and `DomainError`: 403 `role_too_low`; 400 `unknown_action`;
    400 `hard_not_known`; 409 `not_bound`, `in_bin`, `busy` (with the job) or `wrong_state` (with what is allowed).

    Safe for many requests at once: each locks the VM's row, and all but the first find the first one's job there.
    """
    request = PowerRequest(action, hard=hard)
    (control,) = run_bulk_action(scope=scope, vm_ids=[vm_id], action=request, dry_run=dry_run)
    if control.vm is None:
        raise NotFoundError
    if control.refusal is not None:
        raise control.refusal
    return control


@dataclass(frozen=True, slots=True)
class PowerRequest(BulkAction):
    """An action of `ACTIONS` on many VMs."""

    name: str
    hard: bool = False
    image_id: str = ""  # The image of a rescue; "" for the server's own.

    role: ClassVar[Role] = Role.OPERATOR

    def check(self) -> None:
        """Raise 400 for an unknown action, and for `hard` with another action than restart."""
        if self.name not in _COMMANDS:
            raise build_unknown_action_error(self.name, _COMMANDS)
        if self.hard and _COMMANDS[self.name] is not RestartVmCommand:
            message = _("'hard' is valid for a restart only.")
            raise InvalidError("hard_not_known", message, errors={"hard": [message]})

    def plan(self, vms: Sequence[VirtualMachine]) -> list[Plan]:
        """Plan the action's command for each VM that is not in the requested state already."""
        # A VM in the requested state needs no command, unless a job is about to change that.
        settled_keys = [vm.lock_key for vm in vms if self._is_settled(vm)]
        holders = engine.lock_holders(settled_keys) if settled_keys else {}
        return [self._plan_one(vm, holders) for vm in vms]

    def write(self, vms: Sequence[VirtualMachine]) -> None:
        """Write the desired state."""
        desired_state = ACTIONS[self.name].desired_state
        columns = {"desired_state": desired_state} if desired_state else {}
        for vm in vms:
            if desired_state:
                vm.desired_state = desired_state
        touch_vms(vms, **columns)

    def _plan_one(self, vm: VirtualMachine, holders: Mapping[str, Job]) -> Plan:
        if vm.openstack_id is None:
            return Plan(refusal=ConflictError("not_bound", _("This VM has no server in the cloud yet.")))
        if vm.lock_key not in holders and self._is_settled(vm):
            return NOTHING_TO_DO
        command_class: Any = _COMMANDS[self.name]
        command: ServerCommand
        if command_class is RestartVmCommand:
            command = RestartVmCommand(str(vm.pk), self.hard)
        elif command_class is RescueVmCommand:
            command = RescueVmCommand(str(vm.pk), self.image_id)
        else:
            command = command_class(str(vm.pk))
        command.vm = vm
        return Plan(command)

    def _is_settled(self, vm: VirtualMachine) -> bool:
        return vm.status == ACTIONS[self.name].leads_to and vm.pending_resize is None
