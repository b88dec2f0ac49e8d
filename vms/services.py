"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.http import Http404
from django.utils.translation import gettext_lazy as _

from portal.api.errors import Refused
from portal.api.scoping import Role, Scope
from tasks import engine
from tasks.models import Job

from .commands import ALLOWED_FROM, ALREADY, COMMAND_OF_ACTION, RestartVm, StartVm, StopVm, wrong_state
from .models import VirtualMachine, VMStatus, lock_key

WANTED_AFTER = {
    "start": VirtualMachine.Wanted.RUNNING,
    "stop": VirtualMachine.Wanted.STOPPED,
    "restart": VirtualMachine.Wanted.RUNNING,
}


@dataclass(frozen=True, slots=True)
class Control:
    """What came of asking a VM for an action.

    `job` does what was asked; None when there was nothing to do, and on a dry run. `holder` is the job that the VM is
    held by now.
    """

    changed: bool
    vm: VirtualMachine
    job: Job | None
    holder: Job | None


def control_vm(
    *, scope: Scope, vm_id: UUID, action: str, hard: bool = False, dry_run: bool = False
) -> Control:
    """Ask a VM for an action.

    Raises Http404 when the scope does not show it, and `Refused`: 403 `role_too_low`; 400 `unknown_action`;
    409 `not_bound`, `busy` (with the job) or `wrong_state` (with what is allowed).

    Two hundred at once are safe: each locks the VM's row, and who comes after the first finds its job there.
    """
    with transaction.atomic():
        visible = VirtualMachine.objects.within(scope).shown().select_for_update(of=("self",))
        vm = next(iter(visible.filter(pk=vm_id)), None)
        if vm is None:
            raise Http404
        scope.require(Role.OPERATOR)
        command = _command(vm, action, hard=hard)
        command.vm = vm
        holder = engine.holder_of(lock_key(vm.pk))
        if holder is None:
            if ALREADY.get(action) == vm.status:
                return Control(changed=False, vm=vm, job=None, holder=None)
            if vm.status not in ALLOWED_FROM[action]:
                raise engine.NotValid([wrong_state(action, VMStatus(vm.status))])
        elif (holder.kind, holder.params) != (command.kind, command.params()):
            raise engine.Busy(holder)
        if dry_run:
            return Control(changed=holder is None, vm=vm, job=None, holder=holder)
        if holder is not None:
            return Control(changed=False, vm=vm, job=holder, holder=holder)
        submission = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user)
        vm.wanted = WANTED_AFTER[action]
        # The row's `written_at` moves in the same transaction as the lock: a sync that listed before leaves it alone.
        VirtualMachine.objects.filter(pk=vm.pk).update(wanted=vm.wanted, written_at=Now(), updated_at=Now())
        return Control(changed=True, vm=vm, job=submission.job, holder=submission.job)


def _command(vm: VirtualMachine, action: str, *, hard: bool) -> StartVm | StopVm | RestartVm:
    """The command for an action on a VM. Raises `Refused` when there is none."""
    command_class = COMMAND_OF_ACTION.get(action)
    if command_class is None:
        raise Refused(
            400,
            "unknown_action",
            _("There is no action '%(action)s'; there are: %(known)s.")
            % {"action": action[:50], "known": ", ".join(COMMAND_OF_ACTION)},
            errors={"action": [_("Not a known action.")]},
        )
    if hard and command_class is not RestartVm:
        message = _("Only a restart can be hard.")
        raise Refused(400, "hard_not_known", message, errors={"hard": [message]})
    if vm.openstack_id is None:
        raise Refused(409, "not_bound", _("This VM has no server in the cloud yet."))
    return RestartVm(str(vm.pk), hard) if command_class is RestartVm else command_class(str(vm.pk))
