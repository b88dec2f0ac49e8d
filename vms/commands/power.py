"""Start, stop, restart, pause, suspend and shelve servers, and the reverse.

Nova guarantees no exactly-once: it may accept several of simultaneous actions, and an error may mean that the action was
done. So a refusal is judged by the server's present state, and a step that may have had its effect reads that state before
it sends the request again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from openstack_client import CloudConflictError, CloudNotFoundError, InvalidCloudRequestError, Server
from openstack_client.compute import Compute
from tasks.command import (
    Done,
    Failed,
    Failure,
    Refusal,
    Result,
    StepDeclaration,
    Wait,
    minutes,
    register,
    step,
)
from tasks.polling import MISSING

from ..actions import POWER_ACTIONS, PowerAction, action_refusals, foreign_statuses
from ..models import VirtualMachine, VMStatus
from .server import LONGEST_WORK, ServerCommand


class PowerCommand(ServerCommand):
    """Request an action of `POWER_ACTIONS`, wait until it is done, and write what the cloud then reports."""

    deadline: ClassVar[timedelta] = minutes(40)
    longest_work: ClassVar[timedelta | None] = LONGEST_WORK
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "send_request",
        "see_it_done": "wait_for_completion",
    }
    action_name: ClassVar[str]  # A key of `POWER_ACTIONS`, and the operation of the log.

    @property
    def action(self) -> PowerAction:
        """Return the action's row of the table."""
        return POWER_ACTIONS[self.action_name]

    def validate(self) -> list[Refusal]:
        """Refuse an action that the VM's status does not allow; the caller holds the lock on the row."""
        return action_refusals(self.vm, self.action_name)

    @classmethod
    def can_be_undone(cls) -> bool:
        """Return whether there is an action that brings the server back."""
        return bool(POWER_ACTIONS[cls.action_name].undone_by)

    def check_still_due(self) -> Failed | None:
        """Return a failure when the action has become unnecessary since the job was recorded; else None."""
        return None

    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""
        self.action.request(compute, self.server_id)

    def was_done_before(self, compute: Compute) -> bool:
        """Return whether an earlier attempt of this job, which was not recorded, has had its effect."""
        return self.is_done_or_under_way(compute.get_server(self.server_id))

    def is_done_or_under_way(self, server: Server) -> bool:
        """Return whether the action has been done on the server, or is under way."""
        return server.status in self.action.nova_statuses or server.task_state in self.action.task_states

    @step(title=gettext_lazy("Send request to cloud"))
    def send_request(self) -> Result:
        """Send the action once. A retry reads the server before it sends the action again, and so does the handling of a refusal."""
        if (reason := self.check_still_due()) is not None:
            return reason
        compute = self.cloud().compute
        if self.retrying and self.was_done_before(compute):
            self.data["is_requested"] = True
            return Done()
        try:
            self.send(compute)
        except CloudConflictError as refusal:
            # Nova answers 409 to the second of two requests; the server's state tells whether the first has the same effect.
            server = compute.get_server(self.server_id)
            if not self.is_done_or_under_way(server):
                return self.build_refusal(refusal, server, "wrong_state")
            return Done(_("Already in the requested state."))
        self.data["is_requested"] = True
        self.record_request_id()
        return Done()

    @send_request.undo
    def undo_request(self) -> Result:
        """Return the server to its former state, if this job has changed it."""
        # "asked" is what jobs of the release before have recorded.
        if not self.action.undone_by or not self.data.keys() & {"is_requested", "asked", "unrecorded"}:
            return Done()
        compute, reverse = self.cloud().compute, POWER_ACTIONS[self.action.undone_by]
        try:
            server = compute.get_server(self.server_id)
            if server.task_state is None and self.is_restored(server):
                return Done()
            if server.status in {"ERROR"} & self.list_failing_statuses():
                return Done(_("The server is in error; it stays as it is."))
            if server.task_state is None and not self.can_reverse(server):
                return Done(_("Another request has changed the server; it stays as it is."))
            if server.task_state is None:
                self.send_reverse(compute, server)
            elif self.is_lost(server):
                return Done(_("Nova does nothing about the server; it stays as it is."))
        except CloudNotFoundError:
            return Done(_("The server is gone."))
        except CloudConflictError as refusal:
            return Wait(1.0, describe_refusal(refusal))
        return Wait(1.0, _("Waiting for the cloud to report %s.") % " / ".join(sorted(reverse.nova_statuses)))

    def is_restored(self, server: Server) -> bool:
        """Return whether the server has its former state again."""
        return server.status in POWER_ACTIONS[self.action.undone_by].nova_statuses

    def can_reverse(self, server: Server) -> bool:
        """Return whether the server is in the state to which this job has brought it."""
        return server.status in self.action.nova_statuses

    def send_reverse(self, compute: Compute, server: Server) -> None:
        """Send the request that brings the server back."""
        POWER_ACTIONS[self.action.undone_by].request(compute, self.server_id)

    @step(deadline=minutes(30), title=gettext_lazy("Wait for completion"))
    def wait_for_completion(self) -> Result:
        """Wait until the cloud reports that the action is done, or that another request has changed the server."""
        return self.watch(*sorted(self.action.nova_statuses), unless=self.list_failing_statuses())

    def list_failing_statuses(self) -> set[str]:
        """Return Nova's statuses that show that the action has failed, or that another request has changed the server."""
        return {"ERROR", MISSING, *foreign_statuses(self.action)} - self.action.nova_statuses

    @wait_for_completion.stalled
    def resend_if_lost(self) -> Result:
        """Send the action again when Nova shows no trace of it; fail when Nova has begun it and no host works on it."""
        compute = self.cloud().compute
        try:
            server = compute.get_server(self.server_id)
        except CloudNotFoundError:
            return Wait(1.0)  # The watch reports that.
        if server.task_state is not None:
            if self.is_lost(server):
                return self.handle_lost_task(compute, server)
            return Wait(0.0, _("The cloud still reports %s.") % server.task_state)
        if server.status in self.action.nova_statuses | ({"ERROR"} & self.list_failing_statuses()):
            return Wait(1.0)
        if server.status == "ERROR" and self.has_failed():
            return Failed("refused_by_cloud", self.explain(server.status, server.fault or ""))
        if not self.can_retry_request():
            return self.build_lost_failure(_("the server stays '%(status)s'.") % {"status": server.status})
        try:
            self.send(compute)
        except CloudConflictError as refusal:
            return Wait(0.0, describe_refusal(refusal))
        self.record_request_id()
        return Wait(0.0, _("The cloud had lost the request; it was sent again."))

    def handle_lost_task(self, compute: Compute, server: Server) -> Result:
        """Fail for a task that no host works on: Nova refuses every other action until the cloud's operators reset it."""
        return self.build_lost_failure(
            _("the server shows '%(task)s', and no host works on it.") % {"task": server.task_state}
        )

    def on_success(self) -> None:
        """Write the cloud's last report, the time, and the operation log."""
        vm = self.lock_observed_vm()
        if self.action.time_column:
            setattr(vm, self.action.time_column, Now())
        vm.save()
        self.log(vm, self.action_name, success=True)

    def on_failure(self, failure: Failure) -> None:
        """Write the cloud's last report, if there was one, and the operation log."""
        vm = self.lock_observed_vm()
        vm.save()
        self.log(vm, self.action_name, success=False, detail=failure.detail)


@register
@dataclass
class RestartVmCommand(PowerCommand):
    """Restart a running VM: softly, as the guest's own reboot, or hard, as by the power button.

    A reboot leaves no trace in the server's status, so an attempt that died after the request could not be recognized. Nova's
    list of the server's actions shows it: reboots that were not on the list before are this job's.
    """

    vm_id: str
    hard: bool = False

    kind: ClassVar[str] = "vms.restart"
    title: ClassVar[str | Promise] = POWER_ACTIONS["restart"].command_title
    action_name: ClassVar[str] = "restart"
    renamed_steps: ClassVar[Mapping[str, str]] = {"note_earlier_reboots": "record_reboots"}

    # Before the steps that every power command has.
    @step(title=gettext_lazy("Record current state"))
    def record_reboots(self) -> Result:
        """Record the reboots that Nova has on record, to tell this job's reboot from them."""
        self.data["reboots_before"] = self.list_reboots(self.cloud().compute)
        return Done()

    steps: ClassVar[list[StepDeclaration]] = [record_reboots, *PowerCommand.steps]

    def send(self, compute: Compute) -> None:
        """Send the reboot to Nova, hard or soft."""
        compute.reboot_server(self.server_id, hard=self.hard)

    def list_reboots(self, compute: Compute) -> list[str]:
        """Return the request ids of every reboot that Nova has on record for the server."""
        return [
            action.request_id
            for action in compute.list_server_actions(self.server_id)
            if action.action == "reboot"
        ]

    def was_done_before(self, compute: Compute) -> bool:
        """Return whether Nova has a reboot on record that was not there before this job."""
        return bool(set(self.list_reboots(compute)) - set(self.data["reboots_before"]))

    def is_done_or_under_way(self, server: Server) -> bool:
        """Return whether a reboot is under way, whoever has requested it; ACTIVE alone shows nothing."""
        return server.task_state in self.action.task_states

    def handle_lost_task(self, compute: Compute, server: Server) -> Result:
        """Request a hard reboot, which Nova accepts for a server whose soft reboot it has given up."""
        if server.task_state not in self.action.task_states or not self.can_retry_request():
            return super().handle_lost_task(compute, server)
        try:
            compute.reboot_server(self.server_id, hard=True)
        except CloudConflictError:
            return super().handle_lost_task(compute, server)
        self.record_request_id()
        return Wait(0.0, _("Nova had given up on the restart; a hard one was requested."))


@register
@dataclass
class RescueVmCommand(PowerCommand):
    """Boot a server from a rescue image, with its own disk as a second one.

    The password that Nova makes for the rescue system is dropped: few images take it, and it must not be stored.
    """

    vm_id: str
    image_id: str = ""  # "": the image that the server was built from.

    kind: ClassVar[str] = "vms.rescue"
    title: ClassVar[str | Promise] = POWER_ACTIONS["rescue"].command_title
    action_name: ClassVar[str] = "rescue"
    longest_work: ClassVar[timedelta | None] = None

    def send(self, compute: Compute) -> None:
        """Send the rescue to Nova, in the form that fits the server's root disk."""
        self.data["is_volume_booted"] = compute.get_server(self.server_id).image_id is None
        compute.rescue_server(
            self.server_id,
            image_id=self.image_id or None,
            is_volume_booted=self.data["is_volume_booted"],
        )

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say what the rescue of a server that boots from a volume needs."""
        if isinstance(error, InvalidCloudRequestError) and self.data.get("is_volume_booted"):
            message = _(
                "The cloud does not rescue this VM, which boots from a volume: that needs an image with the properties "
                "hw_rescue_device and hw_rescue_bus, and OpenStack Ussuri or later. %(reason)s"
            )
            return Failed("rescue_refused", message % {"reason": describe_refusal(error)})
        return super().translate(error)

    def is_restored(self, server: Server) -> bool:
        """Return whether the server has its former state again. Nova starts a stopped one at the end of a rescue.

        A server that was in error may stay in it; it runs when its rescue has begun and was ended.
        """
        if self.vm.status == VMStatus.ERROR:
            return server.status in {"ERROR", "ACTIVE"}
        return server.status == ("SHUTOFF" if self.vm.status == VMStatus.STOPPED else "ACTIVE")

    def list_failing_statuses(self) -> set[str]:
        """Return the statuses that show a failure. Nova shows a server in error as such until its rescue has succeeded."""
        statuses = super().list_failing_statuses()
        return statuses - {"ERROR"} if self.vm.status == VMStatus.ERROR else statuses

    def can_reverse(self, server: Server) -> bool:
        """Return whether the server is in rescue, or runs because this job has ended its rescue."""
        return super().can_reverse(server) or (server.status == "ACTIVE" and "ended_rescue" in self.data)

    def send_reverse(self, compute: Compute, server: Server) -> None:
        """End the rescue; then stop a server that was stopped before."""
        if server.status == "ACTIVE":
            compute.stop_server(self.server_id)
            return
        super().send_reverse(compute, server)
        self.data["ended_rescue"] = True


def _register_power_command(name: str) -> type[PowerCommand]:
    """Register the command of an action that needs no code of its own; its kind is `vms.<name>`."""
    action = POWER_ACTIONS[name]
    attributes = {
        "__doc__": f"Carry out the action '{name}' of `POWER_ACTIONS`.",
        "__module__": __name__,
        "kind": f"vms.{name}",
        "title": action.command_title,
        "action_name": name,
        "longest_work": None if action.moves_image else LONGEST_WORK,
    }
    return register(type(f"{name.title()}VmCommand", (PowerCommand,), attributes))


_COMMANDS_WITH_PARAMETERS: dict[str, type[PowerCommand]] = {
    "restart": RestartVmCommand,
    "rescue": RescueVmCommand,
}
POWER_COMMANDS: dict[str, type[PowerCommand]] = {
    name: _COMMANDS_WITH_PARAMETERS.get(name) or _register_power_command(name) for name in POWER_ACTIONS
}


@register
class StopVmAtRuntimeEndCommand(PowerCommand):
    """Stop a VM after its end date, unless that has been extended."""

    kind: ClassVar[str] = "vms.stop_at_runtime_end"
    title: ClassVar[str | Promise] = gettext_lazy("Stop VM at its end date")
    action_name: ClassVar[str] = "stop"

    def validate(self) -> list[Refusal]:
        """Refuse a VM whose end date has not passed."""
        if not self.is_past_runtime():
            return [Refusal("extended", _("The VM's end date has not passed."))]
        return super().validate()

    def is_past_runtime(self) -> bool:
        """Read the VM's row again; return whether its end date has passed."""
        vm = VirtualMachine.objects.select_related("information_system__tenant").get(pk=self.vm_id)
        return bool(vm.is_past_runtime)

    def check_still_due(self) -> Failed | None:
        """Return a failure when the end date has been extended since the job was recorded."""
        if self.is_past_runtime():
            return None
        return Failed("extended", _("The VM's end date was extended meanwhile; the VM keeps running."))
