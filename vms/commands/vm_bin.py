"""Move VMs to the bin, and restore them: the server is stopped and kept, and started again if it ran.

The row is hidden at the end of the job, when the server is stopped, not in the expectation that it will be.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from django.conf import settings
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import decode_message, encode_message, limit_message
from api.messages import message as _
from openstack_client import CloudNotFoundError
from tasks.command import Done, Failed, Failure, Refusal, Result, Spawn, minutes, register, step
from tasks.models import JobStatus

from ..actions import allowed_actions
from ..models import VirtualMachine, VMOperationLog, VMStatus
from .power import PowerCommand
from .removal import DeletionCommand
from .server import ServerCommand

# Nova stops a running server; in the other statuses nothing runs, and the server stays as it is.
_BINNABLE_STATUSES = frozenset(
    {
        VMStatus.RUNNING,
        VMStatus.STOPPED,
        VMStatus.PAUSED,
        VMStatus.SUSPENDED,
        VMStatus.SHELVED,
        VMStatus.ERROR,
    }
)
DesiredState = VirtualMachine.DesiredState


def is_lost(vm: VirtualMachine) -> bool:
    """Return whether the cloud no longer has the VM's server, as far as the syncs have seen."""
    return vm.status == VMStatus.REMOVED or (vm.status == VMStatus.ERROR and vm.missing_count > 0)


class _BinPowerCommand(PowerCommand):
    """Start or stop the server of a VM on its way into the bin or out of it: a child of the commands below.

    The parent has checked the VM and read the server, so the status in the row, which may be older, does not count.
    """

    def validate(self) -> list[Refusal]:
        """Refuse nothing."""
        return []


@register
class StopForBinCommand(_BinPowerCommand):
    """Stop a server that is moved to the bin."""

    kind: ClassVar[str] = "vms.stop_for_bin"
    title: ClassVar[str | Promise] = gettext_lazy("Stop VM")
    action_name: ClassVar[str] = "stop"


@register
class StartFromBinCommand(_BinPowerCommand):
    """Start a server that ran before it was moved to the bin."""

    kind: ClassVar[str] = "vms.start_from_bin"
    title: ClassVar[str | Promise] = gettext_lazy("Start VM")
    action_name: ClassVar[str] = "start"


class _BinCommand(ServerCommand):
    """A command that needs the VM's server to be there."""

    def read_server(self) -> str:
        """Return the server's status; "" when the cloud no longer has the server."""
        try:
            status = self.cloud().compute.get_server(self.server_id).status
        except CloudNotFoundError:
            status = "DELETED"
        if status in {"DELETED", "SOFT_DELETED"}:
            self.data["server_gone"] = True
            return ""
        return status

    def finish_failed(self, operation: str, failure: Failure) -> None:
        """Write the reason into the operation log, and that the server is gone if it is."""
        vm = self.lock_observed_vm()
        if self.data.get("server_gone"):
            vm.status = VMStatus.REMOVED
        vm.save()
        self.log(vm, operation, success=False, detail=failure.detail)


@register
@dataclass
class MoveToBinCommand(_BinCommand, DeletionCommand):
    """Stop a VM and hide it for `settings.BIN_DAYS`. Nothing is lost: a failure starts the server again."""

    vm_id: str
    volumes: Literal["delete", "keep"] = "delete"

    kind: ClassVar[str] = "vms.move_to_bin"
    title: ClassVar[str | Promise] = gettext_lazy("Move VM to bin")

    def validate(self) -> list[Refusal]:
        """Refuse what a deletion refuses, and a VM that Nova is changing."""
        if self.vm.is_in_bin:
            return [Refusal("in_bin", _("The VM is in the bin already."))]
        refusals = [*self.check.of_vm]
        if self.vm.pending_resize is not None:
            message = _("This VM is being resized; confirm or revert that first.")
            refusals.append(Refusal("wrong_state", message, details={"allowed": allowed_actions(self.vm)}))
        elif VMStatus(self.vm.status) not in _BINNABLE_STATUSES:
            message = _("Can't move a VM in state '%(status)s' to the bin.")
            refusals.append(Refusal("wrong_state", message % {"status": VMStatus(self.vm.status).label}))
        if self.volumes == "delete":
            refusals += self.check.of_volumes
        return refusals

    @step(title=gettext_lazy("Record current state"))
    def record_power_state(self) -> Result:
        """Record whether the server runs, so that a restore starts it."""
        status = self.read_server()
        if not status:
            return Failed(
                "gone", _("The cloud no longer has the server. Delete the VM to remove its record.")
            )
        self.data["was_running"] = status == "ACTIVE"
        return Done()

    @step(deadline=minutes(40), title=gettext_lazy("Stop VM"))
    def stop_server(self) -> Result:
        """Stop the server if it runs."""
        if not self.data["was_running"]:
            return Done(_("The server does not run."), skipped=True)
        return Spawn([StopForBinCommand(self.vm_id)])

    def on_success(self) -> None:
        """Hide the VM until the end of its time in the bin."""
        vm = self.lock_observed_vm()
        vm.binned_at = timezone.now()
        vm.bin_until = vm.binned_at + timedelta(days=settings.BIN_DAYS)
        vm.bin_deletes_volumes = self.volumes == "delete"
        vm.bin_was_running = self.data["was_running"]
        vm.desired_state = DesiredState.REMOVED
        vm.save()
        detail = _("In the bin until %(date)s.") % {"date": f"{vm.bin_until:%Y-%m-%d %H:%M} UTC"}
        self.log(vm, VMOperationLog.Operation.BIN, success=True, detail=detail)

    def on_failure(self, failure: Failure) -> None:
        """Leave the VM where it was."""
        self.finish_failed(VMOperationLog.Operation.BIN, failure)


@register
@dataclass
class RestoreVmCommand(_BinCommand):
    """Take a VM out of the bin, and start its server if it ran. A server that does not start is restored all the same."""

    vm_id: str

    kind: ClassVar[str] = "vms.restore"
    title: ClassVar[str | Promise] = gettext_lazy("Restore VM")

    def validate(self) -> list[Refusal]:
        """Refuse a VM that is not in the bin, and one whose server is lost."""
        if not self.vm.is_in_bin:
            return [Refusal("not_in_bin", _("The VM is not in the bin."))]
        if is_lost(self.vm):
            return [Refusal("gone", self.describe_loss())]
        return []

    @step(title=gettext_lazy("Check that the server exists"))
    def check_server(self) -> Result:
        """Fail for a server that the cloud has lost while the VM was in the bin."""
        if self.read_server():
            return Done()
        return Failed("gone", self.describe_loss())

    def describe_loss(self) -> str:
        """Return what to tell about a VM in the bin whose server is lost."""
        message = _(
            "The cloud no longer has the server of VM '%(name)s', so it can't be restored. Delete the VM permanently."
        )
        return message % {"name": self.vm.name}

    @step(deadline=minutes(40), title=gettext_lazy("Start VM"))
    def start_server(self) -> Result:
        """Start the server if it ran when it was moved to the bin."""
        if not self.vm.bin_was_running:
            return Done(_("The VM did not run when it was moved to the bin."), skipped=True)
        if (
            VirtualMachine.objects.select_related("information_system__tenant")
            .get(pk=self.vm_id)
            .is_past_runtime
        ):
            message = _("The VM was not started, because its end date has passed.")
            self.data["not_started"] = encode_message(message)
            return Done(message, skipped=True)
        return Spawn([StartFromBinCommand(self.vm_id)], optional=True)

    @step(title=gettext_lazy("Check that the VM runs"))
    def check_start(self) -> Result:
        """Record why the server did not start, if it did not."""
        for child in self.children_of("start_server"):
            if child.status != JobStatus.SUCCEEDED:
                message = _("The VM was restored, but could not be started: %(reason)s")
                message %= {"reason": child.outcome_message}
                self.data["not_started"] = encode_message(message)
        return Done(decode_message(self.data.get("not_started", "")))

    def on_success(self) -> None:
        """Show the VM again."""
        vm = self.lock_observed_vm()
        runs = vm.bin_was_running and "not_started" not in self.data
        vm.binned_at = vm.bin_until = None
        vm.bin_deletes_volumes = vm.bin_was_running = False
        vm.desired_state = DesiredState.RUNNING if runs else DesiredState.STOPPED
        vm.save()
        detail = limit_message(decode_message(self.data.get("not_started", "")), 2000)
        self.log(vm, VMOperationLog.Operation.RESTORE, success=True, detail=detail)

    def on_failure(self, failure: Failure) -> None:
        """Leave the VM in the bin."""
        self.finish_failed(VMOperationLog.Operation.RESTORE, failure)
