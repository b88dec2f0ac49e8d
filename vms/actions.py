"""What may be asked of a VM, and when: the one table, for the refusals, the API's `allowed_actions` and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasks.command import Refusal

from .models import VirtualMachine, VMOperationLog, VMStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

Wanted = VirtualMachine.Wanted


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a VM can be asked for with `POST vms/{id}/actions/`.

    `label` is the button's word. `already` is the status in which there is nothing left to do, if there is one.
    `wanted` is what the user then wants; `starts` says that it makes a VM run that does not.
    """

    label: str | Promise
    allowed_from: frozenset[VMStatus]
    wanted: str
    already: VMStatus | None = None
    starts: bool = False
    # Of a VM that is being resized, these alone are allowed, and of no other.
    ends_resize: bool = False


def _action(
    label: str | Promise,
    allowed_from: Iterable[VMStatus],
    wanted: str,
    already: VMStatus | None = None,
    *,
    starts: bool = False,
    ends_resize: bool = False,
) -> Action:
    return Action(label, frozenset(allowed_from), wanted, already, starts, ends_resize)


_S = VMStatus
ACTIONS: dict[str, Action] = {
    "start": _action(_("Start"), [_S.STOPPED], Wanted.RUNNING, _S.RUNNING, starts=True),
    "stop": _action(_("Stop"), [_S.RUNNING], Wanted.STOPPED, _S.STOPPED),
    # A restart always does something, so it is never "already so".
    "restart": _action(_("Restart"), [_S.RUNNING], Wanted.RUNNING),
    "pause": _action(_("Pause"), [_S.RUNNING], Wanted.STOPPED, _S.PAUSED),
    "unpause": _action(_("Unpause"), [_S.PAUSED], Wanted.RUNNING, _S.RUNNING, starts=True),
    "suspend": _action(_("Suspend"), [_S.RUNNING], Wanted.STOPPED, _S.SUSPENDED),
    "resume": _action(_("Resume"), [_S.SUSPENDED], Wanted.RUNNING, _S.RUNNING, starts=True),
    "shelve": _action(
        _("Shelve"), [_S.RUNNING, _S.STOPPED, _S.PAUSED, _S.SUSPENDED], Wanted.STOPPED, _S.SHELVED
    ),
    "unshelve": _action(_("Unshelve"), [_S.SHELVED], Wanted.RUNNING, _S.RUNNING, starts=True),
    "confirm_resize": _action(_("Confirm resize"), [_S.RUNNING], "", ends_resize=True),
    "revert_resize": _action(_("Revert resize"), [_S.RUNNING], "", ends_resize=True),
}


def allowed_actions(vm: VirtualMachine) -> list[str]:
    """What may be asked of a VM now, when nothing is in flight. Reads `vm.pending_resize`."""
    return [name for name in ACTIONS if _against(vm, name) is None]


def refusals_of(vm: VirtualMachine, name: str) -> list[Refusal]:
    """Why the VM's state does not allow an action, with what it does allow; nothing when it does."""
    reason = _against(vm, name)
    if reason is None:
        return []
    code, message = reason
    return [Refusal(code, message, details={"allowed": allowed_actions(vm)})]


def _against(vm: VirtualMachine, name: str) -> tuple[str, str | Promise] | None:
    action, status = ACTIONS[name], VMStatus(vm.status)
    resizing = vm.pending_resize is not None
    if vm.openstack_id is None:
        return "not_bound", _("This VM has no server in the cloud yet.")
    if resizing and not action.ends_resize:
        return "wrong_state", _("This VM is being resized; confirm or revert that first.")
    if action.ends_resize:
        return None if resizing else ("wrong_state", _("This VM is not being resized."))
    if status not in action.allowed_from:
        message = _("A VM that is '%(status)s' cannot be asked to %(action)s.")
        word = VMOperationLog.Operation(name).label
        return "wrong_state", message % {"status": status.label, "action": word}
    if action.starts and vm.is_past_runtime:
        message = _("It was to run until %(date)s; extend that first.")
        return "runtime_over", message % {"date": vm.runtime_end}
    return None
