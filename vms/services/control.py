"""Request an action on one VM, or on many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, DomainError, InvalidError, NotFoundError
from tasks import engine
from tasks.engine import Spec
from tasks.models import Job
from tenants.scoping import Role, Scope

from ..actions import ACTIONS
from ..commands.power import POWER_COMMANDS, RestartVmCommand
from ..commands.resize import ConfirmResizeCommand, RevertResizeCommand
from ..commands.server import ServerCommand
from ..models import VirtualMachine

_COMMANDS: dict[str, type[ServerCommand]] = {
    **POWER_COMMANDS,
    ConfirmResizeCommand.action_name: ConfirmResizeCommand,
    RevertResizeCommand.action_name: RevertResizeCommand,
}


@dataclass(frozen=True, slots=True)
class ControlResult:
    """The result of a request for an action on a VM.

    `refusal` is the reason against it; `vm` is None when the scope has no such VM. `job` carries the action out; None when
    there was nothing to do, on a dry run, and when another VM's refusal stopped all. `holder` is the job that holds the VM now.
    """

    vm: VirtualMachine | None
    changed: bool = False
    job: Job | None = None
    holder: Job | None = None
    refusal: DomainError | None = None


def control_vm(
    *, scope: Scope, vm_id: UUID, action: str, hard: bool = False, dry_run: bool = False
) -> ControlResult:
    """Request an action on a VM.

    Raises `NotFoundError` when the scope does not show it, and `DomainError`: 403 `role_too_low`; 400 `unknown_action`;
    409 `not_bound`, `busy` (with the job) or `wrong_state` (with what is allowed).

    Safe for many requests at once: each locks the VM's row, and all but the first find the first one's job there.
    """
    (control,) = control_vms(scope=scope, vm_ids=[vm_id], action=action, hard=hard, dry_run=dry_run)
    if control.vm is None:
        raise NotFoundError
    if control.refusal is not None:
        raise control.refusal
    return control


def control_vms(
    *,
    scope: Scope,
    vm_ids: Sequence[UUID],
    action: str,
    hard: bool = False,
    mode: Literal["all", "valid"] = "all",
    dry_run: bool = False,
) -> list[ControlResult]:
    """Request the same action on many VMs; return the results in their order. A fixed number of statements.

    With `all`, nothing is done unless every VM allows the action; with `valid`, it is done for those that do.
    Raises `DomainError` for the request as a whole: 403 `role_too_low`; 400 `unknown_action`, `hard_not_known`.

    The rows are locked in the order of their keys, so two such requests never wait for each other.
    """
    with transaction.atomic():
        rows = VirtualMachine.objects.within(scope).for_display().filter(pk__in=vm_ids).order_by("pk")
        vms = {vm.pk: vm for vm in rows.select_for_update(of=("self",))}
        if vms:
            scope.require(Role.OPERATOR, VirtualMachine)
            _check_action(action, hard=hard)
        desired_state = ACTIONS[action].desired_state if action in ACTIONS else ""
        # A VM in the requested state needs no command, unless a job is about to change that.
        settled_keys = [vm.lock_key for vm in vms.values() if _is_in_requested_state(vm, action)]
        holders = engine.lock_holders(settled_keys) if settled_keys else {}
        results = {pk: _settle_without_command(vms.get(pk), action, holders) for pk in vm_ids}
        pending = [vms[pk] for pk in dict.fromkeys(vm_ids) if results[pk] is None]
        is_stopped = mode == "all" and any(control and control.refusal for control in results.values())
        submissions = engine.submit_many(
            [Spec(_build_command(vm, action, hard=hard), vm.information_system.tenant) for vm in pending],
            user=scope.user,
            mode=mode,
            dry_run=dry_run or is_stopped,
        )
        for vm, submission in zip(pending, submissions, strict=True):
            is_new = (
                submission.refusal is None
                and not submission.joined
                and (dry_run or submission.job is not None)
            )
            job = None if dry_run else submission.job
            results[vm.pk] = ControlResult(
                vm, changed=is_new, job=job, holder=submission.job, refusal=submission.refusal
            )
            if job is not None and is_new and desired_state:
                vm.desired_state = desired_state
        # `written_at` moves in the same transaction as the locks, so that a sync that listed earlier skips the rows.
        changed_ids = [
            control.vm.pk for control in results.values() if control and control.vm and control.changed
        ]
        if changed_ids and not dry_run:
            columns = {"desired_state": desired_state} if desired_state else {}
            VirtualMachine.objects.filter(pk__in=changed_ids).update(
                **columns, written_at=Now(), updated_at=Now()
            )
        return [control for pk in vm_ids if (control := results[pk]) is not None]


def _settle_without_command(
    vm: VirtualMachine | None, action: str, holders: Mapping[str, Job]
) -> ControlResult | None:
    """Return the result for a VM that needs no command; None for one that needs one."""
    if vm is None:
        return ControlResult(None, refusal=NotFoundError("not_found", _("VM not found.")))
    if vm.openstack_id is None:
        return ControlResult(
            vm, refusal=ConflictError("not_bound", _("This VM has no server in the cloud yet."))
        )
    if vm.lock_key not in holders and _is_in_requested_state(vm, action):
        return ControlResult(vm)
    return None


def _is_in_requested_state(vm: VirtualMachine, action: str) -> bool:
    return vm.status == ACTIONS[action].leads_to and vm.pending_resize is None


def _check_action(action: str, *, hard: bool) -> None:
    """Raise 400 for an unknown action, and for `hard` with another action than restart."""
    if action not in _COMMANDS:
        raise InvalidError(
            "unknown_action",
            _("Unknown action '%(action)s'. Known: %(known)s.")
            % {"action": action[:50], "known": ", ".join(_COMMANDS)},
            errors={"action": [_("Unknown action.")]},
        )
    if hard and _COMMANDS[action] is not RestartVmCommand:
        message = _("'hard' is valid for a restart only.")
        raise InvalidError("hard_not_known", message, errors={"hard": [message]})


def _build_command(vm: VirtualMachine, action: str, *, hard: bool) -> ServerCommand:
    command_class: Any = _COMMANDS[action]
    command: ServerCommand = (
        RestartVmCommand(str(vm.pk), hard) if command_class is RestartVmCommand else command_class(str(vm.pk))
    )
    command.vm = vm
    return command
