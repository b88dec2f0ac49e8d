"""Lock the VMs of a use case, and record that they were written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from api.domain_errors import ConflictError
from tasks import engine
from tasks.engine import Spec, SubmitResult
from tenants.scoping import Role, Scope, lock_row

from ..actions import IN_BIN
from ..commands.server import ServerCommand
from ..models import VirtualMachine
from .bulk import ControlResult


def lock_vm(scope: Scope, vm_id: UUID, needed: Role, *, may_be_in_bin: bool = False) -> VirtualMachine:
    """Lock and return a VM, with the related rows that an answer shows.

    Raises as `lock_row`, then 409 `in_bin`, because a VM in the bin can only be restored or deleted.
    """
    vm: VirtualMachine = lock_row(VirtualMachine.objects.for_display(), scope, vm_id, needed)
    if vm.is_in_bin and not may_be_in_bin:
        raise ConflictError("in_bin", IN_BIN)
    return vm


def update_locked_vm(vm: VirtualMachine, **columns: Any) -> None:
    """Write columns of a locked VM, and move `written_at`, so that a sync that listed earlier skips the row."""
    for name, value in columns.items():
        setattr(vm, name, value)
    touch_vms([vm], **columns)


def touch_vms(vms: Iterable[VirtualMachine], **columns: Any) -> int:
    """Move `written_at` of locked VMs, so that a sync that listed earlier skips the rows; return their number.

    `columns` are written to all of them by the same statement.
    """
    rows = VirtualMachine.objects.filter(pk__in=[vm.pk for vm in vms])
    return rows.update(**columns, written_at=Now(), updated_at=Now())


def build_specs(command_class: Callable[[str], ServerCommand], vms: Sequence[VirtualMachine]) -> list[Spec]:
    """Return a command for each of some locked VMs, for `engine.submit_many`."""
    commands = [(command_class(str(vm.pk)), vm) for vm in vms]
    for command, vm in commands:
        command.vm = vm
    return [Spec(command, vm.information_system.tenant) for command, vm in commands]


def touch_submitted_vms(vms: Sequence[VirtualMachine], submissions: Sequence[SubmitResult]) -> int:
    """Move `written_at` of the locked VMs that have a new job; return their number. `submissions` are the results of `engine.submit_many` for the VMs, in their order."""
    return touch_vms(
        vm
        for vm, submission in zip(vms, submissions, strict=True)
        if submission.job is not None and not submission.joined
    )


def submit_vm_command(
    scope: Scope, vm: VirtualMachine, command: ServerCommand, *, dry_run: bool = False
) -> ControlResult:
    """Submit a command about a locked VM, and move its `written_at` if there is a new job. Raises the engine's refusals.

    `holder` of the result is set when the same command was under way already: the caller joins it.
    """
    command.vm = vm
    spec = Spec(command, vm.information_system.tenant)
    (answer,) = engine.submit_many([spec], user=scope.user, dry_run=dry_run)
    if answer.refusal is not None:
        raise answer.refusal
    if answer.job is not None and not answer.joined:
        update_locked_vm(vm)
    return ControlResult(vm, changed=not answer.joined, job=answer.job, holder=answer.job)


def refuse_by_state(vm: VirtualMachine, command: ServerCommand) -> None:
    """Refuse what the state of a locked VM does not allow, before parameters are checked. A job in flight is left to the submission."""
    command.vm = vm
    if engine.lock_holder(vm.lock_key) is None and (refusals := command.validate()):
        raise engine.NotValidError(refusals)
