"""What a worker does to a server's power: start, stop, restart, pause, suspend, shelve, and back.

Nova does not give exactly-once: of simultaneous actions several may be accepted, and an error may mean that the
action was done. So an action's refusal is judged by the server's fresh state, and a step that may have had its
effect looks before it asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import describe_refusal
from openstack_client import Conflict, NotFound, Server
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

from ..actions import ACTIONS, refusals_of
from ..models import VirtualMachine, VMStatus
from .server import LONGEST_WORK, ServerCommand


@dataclass(frozen=True, slots=True)
class NovaAction:
    """How Nova is asked for an action, and how it shows that it was done.

    `done` are the server's statuses then, `under_way` its task states on the way there.
    """

    ask: Callable[[Compute, str], None]
    done: frozenset[str]
    under_way: frozenset[str]


_REBOOTING = frozenset(
    {
        "rebooting",
        "reboot_pending",
        "reboot_started",
        "rebooting_hard",
        "reboot_pending_hard",
        "reboot_started_hard",
    }
)
_ACTIVE = frozenset({"ACTIVE"})
NOVA: dict[str, NovaAction] = {
    "start": NovaAction(Compute.start_server, _ACTIVE, frozenset({"powering-on"})),
    "stop": NovaAction(Compute.stop_server, frozenset({"SHUTOFF"}), frozenset({"powering-off"})),
    "pause": NovaAction(Compute.pause_server, frozenset({"PAUSED"}), frozenset({"pausing"})),
    "unpause": NovaAction(Compute.unpause_server, _ACTIVE, frozenset({"unpausing"})),
    "suspend": NovaAction(Compute.suspend_server, frozenset({"SUSPENDED"}), frozenset({"suspending"})),
    "resume": NovaAction(Compute.resume_server, _ACTIVE, frozenset({"resuming"})),
    # A cloud that keeps shelved servers on their host for a while shows SHELVED first; both are shelved to us.
    "shelve": NovaAction(
        Compute.shelve_server,
        frozenset({"SHELVED", "SHELVED_OFFLOADED"}),
        frozenset(
            {
                "shelving",
                "shelving_image_pending_upload",
                "shelving_image_uploading",
                "shelving_offloading",
            }
        ),
    ),
    "unshelve": NovaAction(Compute.unshelve_server, _ACTIVE, frozenset({"unshelving", "spawning"})),
}

# Where a server rests of which nobody here has asked that.
_SETTLED = {
    VMStatus.PAUSED: ("PAUSED",),
    VMStatus.SUSPENDED: ("SUSPENDED",),
    VMStatus.SHELVED: ("SHELVED", "SHELVED_OFFLOADED"),
}
REBOOT = NovaAction(lambda nova, server: nova.reboot_server(server, hard=False), _ACTIVE, _REBOOTING)
REBOOT_HARD = NovaAction(lambda nova, server: nova.reboot_server(server, hard=True), _ACTIVE, _REBOOTING)


class PowerCommand(ServerCommand):
    """Ask a server for an action, see it through, and write what the cloud then says."""

    deadline: ClassVar[timedelta] = minutes(40)
    longest_work: ClassVar[timedelta | None] = LONGEST_WORK
    action: ClassVar[str]  # A key of `vms.actions.ACTIONS`, and the operation of the log.
    # The action that brings the server back when the job fails, if there is one.
    taken_back_by: ClassVar[str] = ""
    time_column: ClassVar[str] = ""

    @property
    def nova(self) -> NovaAction:
        """How Nova is asked."""
        return NOVA[self.action]

    def validate(self) -> list[Refusal]:
        """Refuse what the VM's status does not allow; the caller holds its row lock."""
        return refusals_of(self.vm, self.action)

    @classmethod
    def can_be_undone(cls) -> bool:
        """Whether there is an action that takes this one back."""
        return bool(cls.taken_back_by)

    def no_longer_wanted(self) -> Failed | None:
        """Why it is not to be done any more, now that a worker has come to it."""
        return None

    def send(self, compute: Compute) -> None:
        """Send the action to Nova."""
        self.nova.ask(compute, self.server_id)

    def was_done_before(self, compute: Compute) -> bool:
        """Whether an earlier, unrecorded try of this job has had its effect."""
        return self.is_so(compute.get_server(self.server_id))

    def is_so(self, server: Server) -> bool:
        """Whether the server is as wanted, or on its way there."""
        return server.status in self.nova.done or server.task_state in self.nova.under_way

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Send the action once: look first when an earlier try may have sent it, and again after a refusal."""
        if (reason := self.no_longer_wanted()) is not None:
            return reason
        compute = self.cloud().compute
        if self.retrying and self.was_done_before(compute):
            self.data["asked"] = True
            return Done()
        try:
            self.send(compute)
        except Conflict as refusal:
            # Nova answers 409 to who comes second; what counts is how the server is now.
            if not self.is_so(compute.get_server(self.server_id)):
                return Failed("wrong_state", describe_refusal(refusal))
            return Done(_("It was so already."))
        self.data["asked"] = True
        self.note_request()
        return Done()

    @ask_the_cloud.undo
    def take_it_back(self) -> Result:
        """Bring the server back to what it was, if it was this job that moved it."""
        if not self.taken_back_by or not (self.data.get("asked") or self.data.get("unrecorded")):
            return Done()
        compute, back = self.cloud().compute, NOVA[self.taken_back_by]
        try:
            server = compute.get_server(self.server_id)
            if server.status in back.done and server.task_state is None:
                return Done()
            if server.status == "ERROR":
                return Done(_("The server is in error; it stays as it is."))
            if server.task_state is None and server.status not in self.nova.done:
                return Done(_("Somebody else has moved the server on; it stays as it is."))
            if server.task_state is None:
                back.ask(compute, self.server_id)
            elif self.is_lost(server):
                return Done(_("Nova does nothing about the server; it stays as it is."))
        except NotFound:
            return Done(_("The server is gone."))
        except Conflict as refusal:
            return Wait(1.0, describe_refusal(refusal))
        return Wait(1.0, _("Waiting for the cloud to report %s.") % " / ".join(sorted(back.done)))

    @step(deadline=minutes(30), title=gettext_lazy("See it done"))
    def see_it_done(self) -> Result:
        """Wait until the cloud reports that it is so, or that somebody has moved the server elsewhere."""
        elsewhere = {
            word
            for status, words in _SETTLED.items()
            if status not in ACTIONS[self.action].allowed_from
            for word in words
        }
        unless = {"ERROR", MISSING, *elsewhere} - self.nova.done
        return self.watch(*sorted(self.nova.done), unless=unless)

    @see_it_done.stalled
    def look_whether_it_moves(self) -> Result:
        """Ask again when Nova shows no trace of the action; give up when it has begun one that nobody works on."""
        compute = self.cloud().compute
        try:
            server = compute.get_server(self.server_id)
        except NotFound:
            return Wait(1.0)  # The watch sees that.
        if server.task_state is not None:
            if self.is_lost(server):
                return self.when_lost(compute, server)
            return Wait(0.0, _("The cloud still reports %s.") % server.task_state)
        if server.status in self.nova.done or server.status == "ERROR":
            return Wait(1.0)
        if not self.can_retry_request():
            return self.lost(_("the server stays '%(status)s'.") % {"status": server.status})
        try:
            self.send(compute)
        except Conflict as refusal:
            return Wait(0.0, describe_refusal(refusal))
        self.note_request()
        return Wait(0.0, _("The cloud had lost the request; it was asked again."))

    def when_lost(self, compute: Compute, server: Server) -> Result:
        """What to do about a task that nobody works on: Nova refuses every other action until its operators clear it."""
        return self.lost(_("it says '%(task)s', and nobody works on it.") % {"task": server.task_state})

    def succeeded(self) -> None:
        """Write what the cloud said last, when, and the operation log."""
        vm = self.observed_vm()
        if self.time_column:
            setattr(vm, self.time_column, Now())
        vm.save()
        self.log(vm, self.action, success=True)

    def failed(self, failure: Failure) -> None:
        """Write what the cloud said last, if it was looked at, and the operation log."""
        vm = self.observed_vm()
        vm.save()
        self.log(vm, self.action, success=False, detail=f"{failure.code}: {failure.message}")


@register
class StartVm(PowerCommand):
    """Start a stopped VM."""

    kind: ClassVar[str] = "vms.start"
    title: ClassVar[str | Promise] = gettext_lazy("Start VM")
    action: ClassVar[str] = "start"
    taken_back_by: ClassVar[str] = "stop"
    time_column: ClassVar[str] = "last_start_time"


@register
class StopVm(PowerCommand):
    """Stop a running VM."""

    kind: ClassVar[str] = "vms.stop"
    title: ClassVar[str | Promise] = gettext_lazy("Stop VM")
    action: ClassVar[str] = "stop"
    taken_back_by: ClassVar[str] = "start"
    time_column: ClassVar[str] = "last_stop_time"


@register
class StopVmAtItsEnd(StopVm):
    """Stop a VM whose runtime is over, unless it was extended meanwhile."""

    kind: ClassVar[str] = "vms.stop_at_runtime_end"
    title: ClassVar[str | Promise] = gettext_lazy("Stop VM, its runtime is over")

    def validate(self) -> list[Refusal]:
        """Refuse one whose runtime is not over."""
        if not self.is_over():
            return [Refusal("extended", gettext_lazy("Its runtime is not over."))]
        return super().validate()

    def is_over(self) -> bool:
        """Whether its runtime is over by what the row says now."""
        vm = VirtualMachine.objects.select_related("information_system__tenant").get(pk=self.vm_id)
        return bool(vm.is_past_runtime)

    def no_longer_wanted(self) -> Failed | None:
        """Somebody may have extended its runtime since the job was recorded."""
        if self.is_over():
            return None
        return Failed("extended", _("Its runtime was extended meanwhile; it keeps running."))


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
    time_column: ClassVar[str] = "last_start_time"

    # Before the steps that every power command has.
    @step(title=gettext_lazy("Note earlier restarts"))
    def note_earlier_reboots(self) -> Result:
        """Remember which reboots there were, so that this job's can be told from them."""
        self.data["reboots_before"] = self.reboots(self.cloud().compute)
        return Done()

    steps: ClassVar[list[StepDeclaration]] = [note_earlier_reboots, *PowerCommand.steps]

    @property
    def nova(self) -> NovaAction:
        """How Nova is asked."""
        return REBOOT_HARD if self.hard else REBOOT

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
        return server.task_state in self.nova.under_way

    def when_lost(self, compute: Compute, server: Server) -> Result:
        """Ask for a hard restart: it is what Nova still takes of a server whose restart it has given up on."""
        if server.task_state not in _REBOOTING or not self.can_retry_request():
            return super().when_lost(compute, server)
        try:
            compute.reboot_server(self.server_id, hard=True)
        except Conflict:
            return super().when_lost(compute, server)
        self.note_request()
        return Wait(0.0, _("Nova had given up on the restart; a hard one was asked for."))


@register
class PauseVm(PowerCommand):
    """Freeze a running VM in memory."""

    kind: ClassVar[str] = "vms.pause"
    title: ClassVar[str | Promise] = gettext_lazy("Pause VM")
    action: ClassVar[str] = "pause"
    taken_back_by: ClassVar[str] = "unpause"


@register
class UnpauseVm(PowerCommand):
    """Let a paused VM run on."""

    kind: ClassVar[str] = "vms.unpause"
    title: ClassVar[str | Promise] = gettext_lazy("Unpause VM")
    action: ClassVar[str] = "unpause"
    taken_back_by: ClassVar[str] = "pause"


@register
class SuspendVm(PowerCommand):
    """Write a running VM's memory to disk and switch it off."""

    kind: ClassVar[str] = "vms.suspend"
    title: ClassVar[str | Promise] = gettext_lazy("Suspend VM")
    action: ClassVar[str] = "suspend"
    taken_back_by: ClassVar[str] = "resume"
    time_column: ClassVar[str] = "last_stop_time"


@register
class ResumeVm(PowerCommand):
    """Let a suspended VM run on."""

    kind: ClassVar[str] = "vms.resume"
    title: ClassVar[str | Promise] = gettext_lazy("Resume VM")
    action: ClassVar[str] = "resume"
    taken_back_by: ClassVar[str] = "suspend"
    time_column: ClassVar[str] = "last_start_time"


@register
class ShelveVm(PowerCommand):
    """Put a VM away: its disk is kept, its host's cores and memory are given back.

    A job that fails leaves it to the cloud how far it came: from some states there is no way back that is exact.
    """

    kind: ClassVar[str] = "vms.shelve"
    title: ClassVar[str | Promise] = gettext_lazy("Shelve VM")
    # An image of the disk is moved, which takes as long as it takes.
    longest_work: ClassVar[timedelta | None] = None
    action: ClassVar[str] = "shelve"
    time_column: ClassVar[str] = "last_stop_time"


@register
class UnshelveVm(PowerCommand):
    """Bring a shelved VM back and let it run."""

    kind: ClassVar[str] = "vms.unshelve"
    title: ClassVar[str | Promise] = gettext_lazy("Unshelve VM")
    # An image of the disk is moved, which takes as long as it takes.
    longest_work: ClassVar[timedelta | None] = None
    action: ClassVar[str] = "unshelve"
    taken_back_by: ClassVar[str] = "shelve"
    time_column: ClassVar[str] = "last_start_time"


COMMAND_OF_ACTION: dict[str, type[PowerCommand]] = {
    command.action: command
    for command in (
        StartVm, StopVm, RestartVm, PauseVm, UnpauseVm, SuspendVm, ResumeVm, ShelveVm, UnshelveVm,
    )
}  # fmt: skip
