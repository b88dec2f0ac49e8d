"""Lock the VMs that a use case is about, and note that they were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from tasks.engine import Spec, SubmitResult
from tenants.scoping import Role, Scope, lock_row

from ..commands.server import ServerCommand
from ..models import VirtualMachine


def lock_vm(scope: Scope, vm_id: UUID, needed: Role) -> VirtualMachine:
    """Lock and return a VM with all that an answer shows of it. Raises as `lock_row`."""
    vm: VirtualMachine = lock_row(VirtualMachine.objects.for_display(), scope, vm_id, needed)
    return vm


def touch(vm: VirtualMachine, **columns: Any) -> None:
    """Write columns of a locked VM, so that a sync which listed before leaves it alone: `written_at` moves."""
    for name, value in columns.items():
        setattr(vm, name, value)
    VirtualMachine.objects.filter(pk=vm.pk).update(**columns, written_at=Now(), updated_at=Now())


def build_specs(command_class: Callable[[str], ServerCommand], vms: Sequence[VirtualMachine]) -> list[Spec]:
    """Return a command about each of some locked VMs, for `engine.submit_many`."""
    commands = [(command_class(str(vm.pk)), vm) for vm in vms]
    for command, vm in commands:
        command.vm = vm
    return [Spec(command, vm.information_system.tenant) for command, vm in commands]


def touch_submitted_vms(vms: Sequence[VirtualMachine], answers: Sequence[SubmitResult]) -> int:
    """Move `written_at` of the locked VMs that have a new job; return how many. `answers` are theirs, in their order."""
    submitted = [
        vm.pk for vm, answer in zip(vms, answers, strict=True) if answer.job is not None and not answer.joined
    ]
    return VirtualMachine.objects.filter(pk__in=submitted).update(written_at=Now(), updated_at=Now())
