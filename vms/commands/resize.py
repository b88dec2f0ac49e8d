"""Resize a server, then confirm or revert the resize."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db.models.functions import Now
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from cloudaccounts.models import CloudResource
from openstack_client import CloudConflictError, CloudNotFoundError, Server
from openstack_client.compute import Compute
from tasks.command import Done, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING
from volumepool.models import Volume

from ..actions import action_refusals, allowed_actions
from ..catalogue import flavor_size_columns
from ..models import Resize, VMOperationLog, VMStatus, size_columns
from .server import ServerCommand

RESIZABLE_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED})
_SETTLED_STATUSES = frozenset({"ACTIVE", "SHUTOFF"})
# Those of a server whose resize was ended outside of the portal, and to which something else was done there afterwards.
_LEFT_STATUSES = frozenset({"PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED", "RESCUE"})


def confirmation_period() -> timedelta:
    """Return how long a resize waits for a person before it is confirmed automatically."""
    return timedelta(hours=settings.RESIZE_CONFIRM_HOURS)


@register
@dataclass
class ResizeVmCommand(ServerCommand):
    """Resize a server to another flavor. Nova keeps both sizes until the resize is confirmed or reverted."""

    vm_id: str
    flavor_id: str

    kind: ClassVar[str] = "vms.resize"
    title: ClassVar[str | Promise] = gettext_lazy("Resize VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_resize",
        "see_it_resized": "wait_until_resized",
    }
    deadline: ClassVar[timedelta] = minutes(120)

    def validate(self) -> list[Refusal]:
        """Refuse a VM that Nova cannot resize."""
        status = VMStatus(self.vm.status)
        if refusals := self.unbound_refusals():
            return refusals
        if self.vm.pending_resize is not None:
            message = _("This VM is being resized; confirm or revert that first.")
            return [Refusal("wrong_state", message, details={"allowed": allowed_actions(self.vm)})]
        if status in RESIZABLE_STATUSES:
            return []
        message = _("Can't resize a VM in state '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": status.label})]

    def describe_change(self) -> dict[str, Any]:
        """Return the new size, and the present one."""
        present = super().describe_change()
        flavors = CloudResource.objects.filter(account=self.vm.account, region=self.vm.region, type="flavor")
        flavor = flavors.filter(cloud_id=self.flavor_id).first()
        if flavor is None:
            return present
        boots = Volume.objects.filter(vm=self.vm, is_boot=True).exists()
        size = flavor_size_columns(flavor, boot_disk_gb=self.vm.disk_gb if boots else None)
        old = {name: present[name] for name in ("cpu_cores", "memory_gb", "disk_gb")}
        return {**present, **size, "present_size": old}

    @step(title=gettext_lazy("Send request to cloud"))
    def request_resize(self) -> Result:
        """Request the resize, unless an earlier attempt of this job has."""
        compute = self.cloud().compute
        if self.retrying and is_resizing(compute.get_server(self.server_id)):
            return Done()
        try:
            compute.resize_server(self.server_id, self.flavor_id)
        except CloudConflictError as refusal:
            server = compute.get_server(self.server_id)
            if not is_resizing(server):
                return self.build_refusal(refusal, server, "wrong_state")
        self.record_request_id()
        return Done()

    @request_resize.undo
    def undo_resize(self) -> Result:
        """Revert to the old flavor, once Nova has finished its present task."""
        return revert_server(self, _("Waiting for the cloud to restore the previous flavor."))

    @step(deadline=minutes(90), title=gettext_lazy("Wait until resized"))
    def wait_until_resized(self) -> Result:
        """Wait for VERIFY_RESIZE. A server that returns to its former status was not resized: no host had room for it."""
        return self.watch("VERIFY_RESIZE", unless={"ERROR", MISSING, *_SETTLED_STATUSES})

    @wait_until_resized.stalled
    def check_progress(self) -> Result:
        """Fail when no host works on the resize."""
        return check_resize_progress(self)

    def on_success(self) -> None:
        """Write when the resize will be confirmed automatically."""
        vm = self.lock_observed_vm()
        vm.save()
        Resize.objects.filter(vm=vm).update(confirms_at=Now() + confirmation_period())
        self.log(vm, VMOperationLog.Operation.RESIZE, success=True, detail=vm.resize.flavor_name)

    def on_failure(self, failure: Failure) -> None:
        """Delete the pending resize; the VM keeps its old size."""
        vm = self.lock_observed_vm()
        vm.save()
        Resize.objects.filter(vm=vm).delete()
        self.log(vm, VMOperationLog.Operation.RESIZE, success=False, detail=failure.detail)


def is_resizing(server: Server) -> bool:
    """Return whether the server is being resized or cold-migrated, or waits for the confirmation of that."""
    return server.status in {"RESIZE", "VERIFY_RESIZE"} or (server.task_state or "").startswith("resize")


def revert_server(command: ServerCommand, waiting: str) -> Result:
    """Revert a resize or a cold migration, once Nova has finished its present task; `waiting` is the message until then. For an undo."""
    compute = command.cloud().compute
    try:
        server = compute.get_server(command.server_id)
        if server.status == "ERROR":
            return Done(_("The server is in error; it stays as it is."))
        # Also a server that somebody has shelved or paused meanwhile, which Nova refuses to resize.
        if server.task_state is None and not is_resizing(server):
            return Done()
        if server.status == "VERIFY_RESIZE" and server.task_state is None:
            compute.revert_resize(command.server_id)
        elif command.is_lost(server):
            return Done(_("Nova does nothing about the server; it stays as it is."))
    except CloudNotFoundError:
        return Done(_("The server is gone."))
    except CloudConflictError as refusal:
        return Wait(1.0, describe_refusal(refusal))
    return Wait(1.0, waiting)


def check_resize_progress(command: ServerCommand) -> Result:
    """Return whether to keep waiting for a resize, its confirmation or its reversal."""
    try:
        server = command.cloud().compute.get_server(command.server_id)
    except CloudNotFoundError:
        return Wait(1.0)  # The watch reports that.
    if command.is_lost(server):
        state = server.task_state or server.status
        return command.build_lost_failure(
            _("the server shows '%(task)s', and no host works on it.") % {"task": state}
        )
    return Wait(0.0, _("The cloud still reports %s.") % (server.task_state or server.status))


class EndResizeCommand(ServerCommand):
    """Confirm or revert a resize. A resize that was ended outside of the portal counts as done, with the size that the cloud reports."""

    action_name: ClassVar[str]
    send: ClassVar[Callable[[Compute, str], None]]
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "send_request",
        "see_it_done": "wait_for_completion",
        "read_its_size": "read_size",
    }

    def validate(self) -> list[Refusal]:
        """Refuse a VM without a pending resize."""
        return action_refusals(self.vm, self.action_name)

    @step(deadline=minutes(5), title=gettext_lazy("Send request to cloud"))
    def send_request(self) -> Result:
        """Send the request, unless the resize is over.

        Nova may go on showing VERIFY_RESIZE while it carries a confirmation out, and refuses a second one then.
        """
        compute = self.cloud().compute
        if self.retrying and compute.get_server(self.server_id).status != "VERIFY_RESIZE":
            return Done()
        try:
            type(self).send(compute, self.server_id)
        except CloudConflictError as refusal:
            server = compute.get_server(self.server_id)
            if server.status == "VERIFY_RESIZE":
                if self.is_lost(server):
                    return self.build_lost_failure(describe_refusal(refusal))
                return Wait(2.0, describe_refusal(refusal))
            return Done()
        self.record_request_id()
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("Wait for completion"))
    def wait_for_completion(self) -> Result:
        """Wait until Nova has finished. Every status but those of a resize shows that it has."""
        return self.watch(*sorted(_SETTLED_STATUSES | _LEFT_STATUSES))

    @wait_for_completion.stalled
    def check_progress(self) -> Result:
        """Fail when no host works on the request."""
        return check_resize_progress(self)

    @step(title=gettext_lazy("Read size"))
    def read_size(self) -> Result:
        """Read the server's present size."""
        server = self.cloud().compute.get_server(self.server_id)
        self.data["size"] = size_columns(server.vcpus, server.memory_mb, server.disk_gb, server.flavor_name)
        return Done()

    def on_success(self) -> None:
        """Write the present size."""
        vm = self.lock_observed_vm()
        boots_from_volume = Volume.objects.filter(vm=vm, is_boot=True).exists()
        for name, value in self.data["size"].items():
            # A VM that boots from a volume does not have the disk of its flavor.
            if name != "disk_gb" or not boots_from_volume:
                setattr(vm, name, value)
        vm.save()
        Resize.objects.filter(vm=vm).delete()
        self.log(vm, self.action_name, success=True, detail=vm.flavor_name)

    def on_failure(self, failure: Failure) -> None:
        """Postpone the automatic confirmation, so that it is not tried in every run of the schedule. The resize still waits."""
        vm = self.lock_observed_vm()
        vm.save()
        Resize.objects.filter(vm=vm).update(confirms_at=Now() + confirmation_period())
        self.log(vm, self.action_name, success=False, detail=failure.detail)


@register
class ConfirmResizeCommand(EndResizeCommand):
    """Keep the new size."""

    kind: ClassVar[str] = "vms.confirm_resize"
    title: ClassVar[str | Promise] = gettext_lazy("Confirm resize of VM")
    action_name: ClassVar[str] = "confirm_resize"
    send: ClassVar[Callable[[Compute, str], None]] = Compute.confirm_resize


@register
class RevertResizeCommand(EndResizeCommand):
    """Return to the old size."""

    kind: ClassVar[str] = "vms.revert_resize"
    title: ClassVar[str | Promise] = gettext_lazy("Revert resize of VM")
    action_name: ClassVar[str] = "revert_resize"
    send: ClassVar[Callable[[Compute, str], None]] = Compute.revert_resize
