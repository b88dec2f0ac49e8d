"""What a worker does to servers: start, stop, restart.

Nova does not give exactly-once: of simultaneous actions several may be accepted, and an error may mean that the
action was done. So an action's refusal is judged by the server's fresh state, and a step that may have had its
effect looks before it asks again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import ClassVar

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import CloudCommand, refused_by_cloud
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, Conflict, NotFound, Server
from openstack_client.compute import Compute
from tasks.command import Done, Entity, Failed, Failure, Refusal, Result, Wait, Watch, minutes, register, step
from tasks.polling import MISSING

from .models import SERVER_WATCHER, VirtualMachine, VMOperationLog, VMStatus

# From which statuses each action may be asked for: the one table, for the refusals and for `allowed_actions`.
ALLOWED_FROM: dict[str, frozenset[VMStatus]] = {
    "start": frozenset({VMStatus.STOPPED}),
    "stop": frozenset({VMStatus.RUNNING}),
    "restart": frozenset({VMStatus.RUNNING}),
}
# The status in which there is nothing left to do; a restart always does something.
ALREADY: dict[str, VMStatus] = {"start": VMStatus.RUNNING, "stop": VMStatus.STOPPED}


class ServerCommand(CloudCommand):
    """A command about one VM that is bound to a server."""

    vm_id: str

    @cached_property
    def vm(self) -> VirtualMachine:
        """The VM as it was when the command first looked; the service that submits puts its locked row here."""
        vms = VirtualMachine.objects.select_related("account", "information_system")
        vm: VirtualMachine = vms.get(pk=self.vm_id)
        return vm

    @property
    def server_id(self) -> str:
        """Nova's id of it; bound before any command is submitted, and never changed."""
        assert self.vm.openstack_id is not None
        return self.vm.openstack_id

    def cloud(self) -> Cloud:
        """The cloud that the server is in."""
        return open_cloud(self.vm.account, self.vm.region)

    def locks(self) -> list[str]:
        """The VM, and nothing else."""
        return [self.vm.lock_key]

    def entity(self) -> Entity:
        """The VM."""
        return Entity("vm", str(self.vm.pk), self.vm.name)

    def watch(self, until: str) -> Watch:
        """Wait until the cloud reports a status."""
        return Watch(
            SERVER_WATCHER,
            self.vm.polling_scope,
            self.server_id,
            until=frozenset({until}),
            unless=frozenset({"ERROR", MISSING}),
            message=_("Waiting for the cloud to report %s.") % until,
        )

    def observed_vm(self) -> VirtualMachine:
        """The VM's row, locked, with what this job last saw of the server put into it; the caller saves."""
        vms = VirtualMachine.objects.select_for_update(of=("self",)).select_related("information_system")
        vm: VirtualMachine = vms.get(pk=self.vm_id)
        vm.written_at = Now()
        columns = self.data.get("observed", {}).get("columns")
        if columns is None:
            return vm
        for name, value in columns.items():
            if value is not None or name != "status":
                setattr(vm, name, value)
        vm.observed_at = Now()
        vm.reading = ""  # The next sync compares column by column.
        vm.missing_count = 0
        return vm

    def log(self, vm: VirtualMachine, operation: str, *, success: bool, detail: str = "") -> None:
        """Append to the operation log, in the transaction that ends the job."""
        creator = self.job.created_by
        VMOperationLog.objects.create(
            tenant_id=vm.information_system.tenant_id,
            vm_id=vm.pk,
            vm_name=vm.name,
            operation=operation,
            operator=creator.get_username() if creator else "",
            detail=detail,
            success=success,
            job_id=self.job.pk,
        )


class PowerCommand(ServerCommand, ABC):
    """Ask a server for an action, see it through, and write what the cloud then says."""

    action: ClassVar[str]  # A key of ALLOWED_FROM, and the operation of the log.
    done_status: ClassVar[str]  # Nova's status when it is done.
    under_way: ClassVar[frozenset[str]]  # Nova's task_state on the way there.
    time_column: ClassVar[str]
    deadline: ClassVar[timedelta] = minutes(20)

    def validate(self) -> list[Refusal]:
        """Refuse what the VM's status does not allow; the caller holds its row lock."""
        status = VMStatus(self.vm.status)
        return [] if status in ALLOWED_FROM[self.action] else [wrong_state(self.action, status)]

    @abstractmethod
    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""

    def was_done_before(self, compute: Compute) -> bool:
        """Whether an earlier, unrecorded try of this job has had its effect."""
        return self.is_so(compute.get_server(self.server_id))

    def is_so(self, server: Server) -> bool:
        """Whether the server is as wanted, or on its way there."""
        return server.status == self.done_status or server.task_state in self.under_way

    def ask(self) -> Result:
        """Send the action once: look first when an earlier try may have sent it, and again after a refusal."""
        compute = self.cloud().compute
        if self.retrying and self.was_done_before(compute):
            self.data["asked"] = True
            return Done()
        try:
            self.send(compute)
        except Conflict as refusal:
            # Nova answers 409 to who comes second; what counts is how the server is now.
            if not self.is_so(compute.get_server(self.server_id)):
                return Failed("wrong_state", refused_by_cloud(refusal))
            return Done(_("It was so already."))
        self.data["asked"] = True
        return Done()

    def bring_back(self, compute: Compute, status: str, send: Callable[[str], None]) -> Result:
        """Undo: bring the server back to a status, if it was this job that moved it."""
        if not (self.data.get("asked") or self.data.get("unrecorded")):
            return Done()
        try:
            server = compute.get_server(self.server_id)
            if server.status == status and server.task_state is None:
                return Done()
            if server.status == "ERROR":
                return Done(_("The server is in error; it stays as it is."))
            if server.task_state is None:
                send(self.server_id)
        except NotFound:
            return Done(_("The server is gone."))
        except Conflict as refusal:
            return Wait(1.0, refused_by_cloud(refusal))
        return Wait(1.0, _("Waiting for the cloud to report %s.") % status)

    def succeeded(self) -> None:
        """Write what the cloud said last, when, and the operation log."""
        vm = self.observed_vm()
        setattr(vm, self.time_column, Now())
        vm.save()
        self.log(vm, self.action, success=True)

    def failed(self, failure: Failure) -> None:
        """Write what the cloud said last, if it was looked at, and the operation log."""
        vm = self.observed_vm()
        vm.save()
        self.log(vm, self.action, success=False, detail=f"{failure.code}: {failure.message}")


@register
@dataclass
class StartVm(PowerCommand):
    """Start a stopped VM."""

    vm_id: str

    kind: ClassVar[str] = "vms.start"
    title: ClassVar[str | Promise] = gettext_lazy("Start VM")
    action: ClassVar[str] = "start"
    done_status: ClassVar[str] = "ACTIVE"
    under_way: ClassVar[frozenset[str]] = frozenset({"powering-on"})
    time_column: ClassVar[str] = "last_start_time"

    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""
        compute.start_server(self.server_id)

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Ask Nova to start the server."""
        return self.ask()

    @step(title=gettext_lazy("See it running"))
    def see_it_running(self) -> Result:
        """Wait for ACTIVE."""
        return self.watch(self.done_status)

    @ask_the_cloud.undo
    def ask_it_to_stop(self) -> Result:
        """Stop what was started."""
        compute = self.cloud().compute
        return self.bring_back(compute, "SHUTOFF", compute.stop_server)


@register
@dataclass
class StopVm(PowerCommand):
    """Stop a running VM."""

    vm_id: str

    kind: ClassVar[str] = "vms.stop"
    title: ClassVar[str | Promise] = gettext_lazy("Stop VM")
    action: ClassVar[str] = "stop"
    done_status: ClassVar[str] = "SHUTOFF"
    under_way: ClassVar[frozenset[str]] = frozenset({"powering-off"})
    time_column: ClassVar[str] = "last_stop_time"

    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""
        compute.stop_server(self.server_id)

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Ask Nova to stop the server."""
        return self.ask()

    @step(title=gettext_lazy("See it stopped"))
    def see_it_stopped(self) -> Result:
        """Wait for SHUTOFF."""
        return self.watch(self.done_status)

    @ask_the_cloud.undo
    def ask_it_to_start(self) -> Result:
        """Start what was stopped."""
        compute = self.cloud().compute
        return self.bring_back(compute, "ACTIVE", compute.start_server)


@register
@dataclass
class RestartVm(PowerCommand):
    """Restart a running VM: softly, as the guest's own reboot, or hard, as by the power button.

    A reboot leaves no trace in the server's status, so a try that died after asking could not tell.
    Nova's list of a server's actions tells: reboots that are not on the list of before are this job's.
    """

    vm_id: str
    hard: bool = False

    kind: ClassVar[str] = "vms.restart"
    title: ClassVar[str | Promise] = gettext_lazy("Restart VM")
    action: ClassVar[str] = "restart"
    done_status: ClassVar[str] = "ACTIVE"
    under_way: ClassVar[frozenset[str]] = frozenset(
        {
            "rebooting",
            "reboot_pending",
            "reboot_started",
            "rebooting_hard",
            "reboot_pending_hard",
            "reboot_started_hard",
        }
    )
    time_column: ClassVar[str] = "last_start_time"

    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""
        compute.reboot_server(self.server_id, hard=self.hard)

    def reboots(self, compute: Compute) -> list[str]:
        """The request ids of every reboot that Nova has on record for the server."""
        return [
            act.request_id for act in compute.list_server_actions(self.server_id) if act.action == "reboot"
        ]

    def was_done_before(self, compute: Compute) -> bool:
        """Whether there is a reboot on record that was not there before this job."""
        return bool(set(self.reboots(compute)) - set(self.data["reboots_before"]))

    def is_so(self, server: Server) -> bool:
        """After a refusal: a reboot under way is as good as ours; ACTIVE alone says nothing."""
        return server.task_state in self.under_way

    @step(title=gettext_lazy("Note earlier restarts"))
    def note_earlier_reboots(self) -> Result:
        """Remember which reboots there were, so that this job's can be told from them."""
        self.data["reboots_before"] = self.reboots(self.cloud().compute)
        return Done()

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Ask Nova to reboot the server."""
        return self.ask()

    @step(title=gettext_lazy("See it running"))
    def see_it_running(self) -> Result:
        """Wait for ACTIVE again."""
        return self.watch(self.done_status)


COMMAND_OF_ACTION: dict[str, type[StartVm | StopVm | RestartVm]] = {
    "start": StartVm,
    "stop": StopVm,
    "restart": RestartVm,
}


def wrong_state(action: str, status: VMStatus) -> Refusal:
    """The refusal of an action that the status does not allow, with what it does allow."""
    return Refusal(
        "wrong_state",
        gettext_lazy("A VM that is '%(status)s' cannot be asked to %(action)s.")
        % {"status": status.label, "action": VMOperationLog.Operation(action).label},
        details={"allowed": allowed_actions(status)},
    )


def allowed_actions(status: VMStatus) -> list[str]:
    """What may be asked of a VM in this status when nothing is in flight."""
    return [action for action, statuses in ALLOWED_FROM.items() if status in statuses]
