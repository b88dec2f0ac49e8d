"""The table of the actions on a VM, which `POST vms/{id}/actions/` requests.

The refusals, the API's `allowed_actions`, the buttons of the pages, the commands of the workers and the undo of a failed job
all read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tasks.command import Refusal

from .models import VirtualMachine, VMStatus

if TYPE_CHECKING:
    from openstack_client.compute import Compute

DesiredState = VirtualMachine.DesiredState


IN_BIN = _("The VM is in the bin. Restore it first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action on a VM; its key in `ACTIONS` is its name in the API and in the operation log."""

    title: str | Promise  # The text of its button.
    allowed_from: frozenset[VMStatus]
    verb: str | Promise = ""  # Its name inside a sentence: "start". One that ends a resize needs none.
    desired_state: str = ""  # The VM's desired state from then on; "" when it does not change.
    # The status in which there is nothing left to do, and to which the action leads; None for one that always acts.
    leads_to: VMStatus | None = None
    starts_vm: bool = False  # It starts the VM, so it is refused after the VM's end date.
    # It confirms or reverts a resize: allowed while one is pending, when no other action is, and at no other time.
    ends_resize: bool = False
    is_rare: bool = False  # Its button is in a VM's own page, not in the list.


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAction(Action):
    """An action that Nova carries out on a server's power."""

    command_title: str | Promise  # The title of its job, before the VM's name: "Start VM".
    request: Callable[[Compute, str], None]  # Sends the request to Nova, with the server's id.
    nova_statuses: frozenset[str]  # Nova's statuses of a server after the action.
    task_states: frozenset[str]  # Nova's task states of a server during the action.
    undone_by: str = ""  # The action that brings the server back when the job fails; "" when there is none.
    time_column: str = ""  # The VM's column that holds when it was last done.
    # Nova moves an image of the disk, so the time that a host may work on it has no limit.
    moves_image: bool = False


_RUNNING, _STOPPED = frozenset({VMStatus.RUNNING}), frozenset({VMStatus.STOPPED})
_ACTIVE = frozenset({"ACTIVE"})
POWER_ACTIONS: dict[str, PowerAction] = {
    "start": PowerAction(
        title=_("Start"),
        verb=_("start"),
        command_title=_("Start VM"),
        allowed_from=_STOPPED,
        leads_to=VMStatus.RUNNING,
        starts_vm=True,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.start_server(server_id),
        nova_statuses=_ACTIVE,
        task_states=frozenset({"powering-on"}),
        undone_by="stop",
        time_column="last_start_time",
    ),
    "stop": PowerAction(
        title=_("Stop"),
        verb=_("stop"),
        command_title=_("Stop VM"),
        allowed_from=_RUNNING,
        leads_to=VMStatus.STOPPED,
        desired_state=DesiredState.STOPPED,
        request=lambda nova, server_id: nova.stop_server(server_id),
        nova_statuses=frozenset({"SHUTOFF"}),
        task_states=frozenset({"powering-off"}),
        undone_by="start",
        time_column="last_stop_time",
    ),
    # A soft reboot; `RestartVmCommand` requests a hard one when the caller does.
    "restart": PowerAction(
        title=_("Restart"),
        verb=_("restart"),
        command_title=_("Restart VM"),
        allowed_from=_RUNNING,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.reboot_server(server_id, hard=False),
        nova_statuses=_ACTIVE,
        task_states=frozenset(
            {
                "rebooting",
                "reboot_pending",
                "reboot_started",
                "rebooting_hard",
                "reboot_pending_hard",
                "reboot_started_hard",
            }
        ),
        time_column="last_start_time",
    ),
    "pause": PowerAction(
        title=_("Pause"),
        verb=_("pause"),
        command_title=_("Pause VM"),
        allowed_from=_RUNNING,
        leads_to=VMStatus.PAUSED,
        desired_state=DesiredState.STOPPED,
        is_rare=True,
        request=lambda nova, server_id: nova.pause_server(server_id),
        nova_statuses=frozenset({"PAUSED"}),
        task_states=frozenset({"pausing"}),
        undone_by="unpause",
    ),
    "unpause": PowerAction(
        title=_("Unpause"),
        verb=_("unpause"),
        command_title=_("Unpause VM"),
        allowed_from=frozenset({VMStatus.PAUSED}),
        leads_to=VMStatus.RUNNING,
        starts_vm=True,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.unpause_server(server_id),
        nova_statuses=_ACTIVE,
        task_states=frozenset({"unpausing"}),
        undone_by="pause",
    ),
    "suspend": PowerAction(
        title=_("Suspend"),
        verb=_("suspend"),
        command_title=_("Suspend VM"),
        allowed_from=_RUNNING,
        leads_to=VMStatus.SUSPENDED,
        desired_state=DesiredState.STOPPED,
        is_rare=True,
        request=lambda nova, server_id: nova.suspend_server(server_id),
        nova_statuses=frozenset({"SUSPENDED"}),
        task_states=frozenset({"suspending"}),
        undone_by="resume",
        time_column="last_stop_time",
    ),
    "resume": PowerAction(
        title=_("Resume"),
        verb=_("resume"),
        command_title=_("Resume VM"),
        allowed_from=frozenset({VMStatus.SUSPENDED}),
        leads_to=VMStatus.RUNNING,
        starts_vm=True,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.resume_server(server_id),
        nova_statuses=_ACTIVE,
        task_states=frozenset({"resuming"}),
        undone_by="suspend",
        time_column="last_start_time",
    ),
    # A failed job leaves the server as the cloud has it: from some of these statuses there is no exact way back.
    "shelve": PowerAction(
        title=_("Shelve"),
        verb=_("shelve"),
        command_title=_("Shelve VM"),
        allowed_from=frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED, VMStatus.SUSPENDED}),
        leads_to=VMStatus.SHELVED,
        desired_state=DesiredState.STOPPED,
        is_rare=True,
        request=lambda nova, server_id: nova.shelve_server(server_id),
        # A cloud that keeps shelved servers on their host for a while shows SHELVED first; both are shelved to us.
        nova_statuses=frozenset({"SHELVED", "SHELVED_OFFLOADED"}),
        task_states=frozenset(
            {"shelving", "shelving_image_pending_upload", "shelving_image_uploading", "shelving_offloading"}
        ),
        time_column="last_stop_time",
        moves_image=True,
    ),
    "unshelve": PowerAction(
        title=_("Unshelve"),
        verb=_("unshelve"),
        command_title=_("Unshelve VM"),
        allowed_from=frozenset({VMStatus.SHELVED}),
        leads_to=VMStatus.RUNNING,
        starts_vm=True,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.unshelve_server(server_id),
        nova_statuses=_ACTIVE,
        task_states=frozenset({"unshelving", "spawning"}),
        undone_by="shelve",
        time_column="last_start_time",
        moves_image=True,
    ),
    # Nova rescues a server in error too. Of its own image; `RescueVmCommand` takes another one. Nova ends a rescue with a running server, whatever it was before.
    "rescue": PowerAction(
        title=_("Rescue"),
        verb=_("rescue"),
        command_title=_("Rescue VM"),
        allowed_from=_RUNNING | _STOPPED | {VMStatus.ERROR},
        leads_to=VMStatus.RESCUE,
        starts_vm=True,
        desired_state=DesiredState.RUNNING,
        is_rare=True,
        request=lambda nova, server_id: nova.rescue_server(server_id),
        nova_statuses=frozenset({"RESCUE"}),
        task_states=frozenset({"rescuing"}),
        undone_by="unrescue",
        time_column="last_start_time",
        moves_image=True,
    ),
    # Allowed after the VM's end date too: it is the only way out. A failed job leaves the server as the cloud has it, because
    # the image of the rescue is not known any more.
    "unrescue": PowerAction(
        title=_("Exit rescue"),
        verb=_("unrescue"),
        command_title=_("Exit rescue of VM"),
        allowed_from=frozenset({VMStatus.RESCUE}),
        leads_to=VMStatus.RUNNING,
        desired_state=DesiredState.RUNNING,
        request=lambda nova, server_id: nova.unrescue_server(server_id),
        nova_statuses=_ACTIVE,
        task_states=frozenset({"unrescuing"}),
        time_column="last_start_time",
    ),
}
ACTIONS: dict[str, Action] = {
    **POWER_ACTIONS,
    "confirm_resize": Action(title=_("Confirm resize"), allowed_from=_RUNNING, ends_resize=True),
    "revert_resize": Action(title=_("Revert resize"), allowed_from=_RUNNING, ends_resize=True),
}
# Statuses that a server leaves only by another action. When an action does not lead to one of them, it is no use to wait on.
_RESTING_STATUSES = frozenset({VMStatus.PAUSED, VMStatus.SUSPENDED, VMStatus.SHELVED, VMStatus.RESCUE})


def foreign_statuses(action: PowerAction) -> set[str]:
    """Return Nova's statuses that show that somebody else has moved the server while the action was under way."""
    return {
        status
        for other in POWER_ACTIONS.values()
        if other.leads_to in _RESTING_STATUSES and other.leads_to not in action.allowed_from
        for status in other.nova_statuses
    } - action.nova_statuses


class _State(NamedTuple):
    """What decides about a VM's actions. Few states exist, and a list of VMs asks for the actions of each VM."""

    status: str
    is_bound: bool
    is_in_bin: bool
    is_resizing: bool
    is_past_runtime: bool


def _read_state(vm: VirtualMachine) -> _State:
    """Return the state of a VM. Reads `vm.pending_resize`."""
    return _State(
        vm.status,
        vm.openstack_id is not None,
        vm.is_in_bin,
        vm.pending_resize is not None,
        vm.is_past_runtime,
    )


def allowed_actions(vm: VirtualMachine) -> list[str]:
    """Return the actions that the VM's state allows when no job holds it."""
    return list(_list_allowed(_read_state(vm)))


@cache
def _list_allowed(state: _State) -> tuple[str, ...]:
    return tuple(name for name in ACTIONS if _find_refusal(state, name) is None)


def action_refusals(vm: VirtualMachine, name: str) -> list[Refusal]:
    """Return why the VM's state does not allow an action, with the actions that it does allow; [] when it does."""
    reason = _find_refusal(_read_state(vm), name)
    if reason is None:
        return []
    code, message = reason
    values = {
        "status": VMStatus(vm.status).label,
        "action": ACTIONS[name].verb,
        "date": vm.runtime_end,
    }
    return [Refusal(code, message % values, details={"allowed": allowed_actions(vm)})]


# The reasons against an action, as code and message.
_NOT_BOUND = "not_bound", _("This VM has no server in the cloud yet.")
_IS_RESIZING = "wrong_state", _("This VM is being resized; confirm or revert that first.")
_NOT_RESIZING = "wrong_state", _("This VM is not being resized.")
_WRONG_STATUS = "wrong_state", _("Can't %(action)s a VM in state '%(status)s'.")
_RUNTIME_OVER = "runtime_over", _("The VM's end date was %(date)s. Extend it first.")


def _find_refusal(state: _State, name: str) -> tuple[str, str | Promise] | None:
    """Return the reason against an action; None when the VM's state allows it."""
    action = ACTIONS[name]
    if state.is_in_bin:
        return "in_bin", IN_BIN
    if not state.is_bound:
        return _NOT_BOUND
    if state.is_resizing and not action.ends_resize:
        return _IS_RESIZING
    if action.ends_resize:
        return None if state.is_resizing else _NOT_RESIZING
    if state.status not in action.allowed_from:
        return _WRONG_STATUS
    if action.starts_vm and state.is_past_runtime:
        return _RUNTIME_OVER
    return None


# What the badge of a VM says while a job holds it, by the kind of the job.
PROGRESS_LABELS: dict[str, str | Promise] = {
    "vms.start": _("Starting"),
    "vms.stop": _("Stopping"),
    "vms.stop_at_runtime_end": _("Stopping"),
    "vms.restart": _("Restarting"),
    "vms.pause": _("Pausing"),
    "vms.unpause": _("Resuming"),
    "vms.suspend": _("Suspending"),
    "vms.resume": _("Resuming"),
    "vms.shelve": _("Shelving"),
    "vms.unshelve": _("Unshelving"),
    "vms.rescue": _("Entering rescue mode"),
    "vms.unrescue": _("Exiting rescue mode"),
    "vms.rebuild": _("Rebuilding"),
    "vms.live_migrate": _("Migrating"),
    "vms.abort_migration": _("Aborting migration"),
    "vms.migrate": _("Migrating"),
    "vms.evacuate": _("Evacuating"),
    "vms.create": _("Creating"),
    "vms.remove": _("Deleting"),
    "vms.move_to_bin": _("Moving to bin"),
    "vms.restore": _("Restoring"),
    "vms.change": _("Updating"),
    "vms.resize": _("Resizing"),
    "vms.confirm_resize": _("Confirming resize"),
    "vms.revert_resize": _("Reverting resize"),
    "vms.take_snapshot": _("Creating snapshot"),
    "vms.attach_volume": _("Attaching volume"),
    "vms.detach_volume": _("Detaching volume"),
}
