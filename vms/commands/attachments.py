"""What a worker does to put volumes on servers and to take them off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import refused_by_cloud
from openstack_client import Conflict, NotFound
from tasks.command import Done, Failed, Failure, Refusal, Result, Spawn, Wait, Watch, minutes, register, step
from tasks.polling import MISSING
from volumepool.commands import CreateVolume
from volumepool.models import VOLUME_WATCHER, Volume

from ..models import VirtualMachine, VMOperationLog, VMStatus
from .server import ServerCommand

# Nova refuses a suspended server, and of a shelved one it only notes what it will do.
ATTACHABLE = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED})


class _AttachmentCommand(ServerCommand):
    """A command about a VM and one of its tenant's volumes."""

    volume_id: str  # The row's id.

    @cached_property
    def volume(self) -> Volume:
        """The volume as it was when the command first looked."""
        return Volume.objects.get(pk=self.volume_id)

    def cinder_id(self) -> str:
        """Cinder's id of it, read anew: a volume that this job makes gets it on the way."""
        return str(Volume.objects.values_list("volume_id", flat=True).get(pk=self.volume_id))

    def locks(self) -> list[str]:
        """Both."""
        return [*super().locks(), f"volume:{self.volume_id}"]

    def validate(self) -> list[Refusal]:
        """Refuse what Nova's state does not allow, and a volume that is gone."""
        if not Volume.objects.filter(pk=self.volume_id).exists():
            return [Refusal("gone", gettext_lazy("The volume is gone; ask for it anew."))]
        if refusals := self.not_bound():
            return refusals
        status = VMStatus(self.vm.status)
        if status in ATTACHABLE and self.vm.pending_resize is None:
            return []
        message = gettext_lazy("The volumes of a VM that is '%(status)s' cannot be changed now.")
        return [Refusal("wrong_state", message % {"status": status.label})]

    def is_attached(self) -> bool:
        """Whether the server has it, by Nova."""
        attached = self.cloud().compute.list_volume_attachments(self.server_id)
        return self.cinder_id() in {attachment.volume_id for attachment in attached}

    def watch_volume(self, until: str) -> Watch:
        """Wait until Cinder reports a status of it."""
        return Watch(
            VOLUME_WATCHER,
            self.vm.polling_scope,
            self.cinder_id(),
            until=frozenset({until}),
            unless=frozenset({"error", MISSING}),
            message=_("Waiting for the cloud to report %s.") % until,
        )

    def detach(self) -> Result:
        """Take it off until the server has it no more."""
        try:
            if not self.is_attached():
                return Done()
            self.cloud().compute.detach_volume(self.server_id, self.cinder_id())
        except NotFound:
            return Done(_("It was off already."))
        except Conflict as refusal:
            return Wait(1.0, refused_by_cloud(refusal))
        return Wait(0.5, _("Waiting for the cloud to take it off."))

    def log_failure(self, operation: str, failure: Failure) -> None:
        """Say why it was not done."""
        detail = f"{failure.code}: {failure.message}"
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        self.log(vm, operation, success=False, detail=detail)


@register
@dataclass
class AttachVolume(_AttachmentCommand):
    """Put a volume on a server; one whose row has no volume in the cloud yet is made first."""

    vm_id: str
    volume_id: str

    kind: ClassVar[str] = "vms.attach_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Attach a volume to VM")

    @step(title=gettext_lazy("Make the volume"))
    def make_the_volume(self) -> Result:
        """Make it, if it is new."""
        if self.volume.volume_id is not None:
            return Done()
        return Spawn([CreateVolume(self.volume_id)])

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Attach it, unless it is attached already."""
        if self.retrying and self.is_attached():
            return Done()
        try:
            self.cloud().compute.attach_volume(self.server_id, self.cinder_id())
        except Conflict as refusal:
            if not self.is_attached():
                return Failed(refusal.code, refused_by_cloud(refusal))
        return Done()

    @ask_the_cloud.undo
    def take_it_off(self) -> Result:
        """Detach it, and see that it is free: a new volume is about to be removed."""
        result = self.detach()
        if not isinstance(result, Done):
            return result
        try:
            status = self.cloud().block_storage.get_volume(self.cinder_id()).status
        except NotFound:
            return Done()
        # "reserved" and "attaching" are on their way to one of the others.
        return Done() if status in {"available", "error"} else Wait(0.5, _("Waiting for the volume."))

    @step(deadline=minutes(10), title=gettext_lazy("See it attached"))
    def see_it_attached(self) -> Result:
        """Wait for `in-use`."""
        return self.watch_volume("in-use")

    @step(title=gettext_lazy("Read its device"))
    def read_its_device(self) -> Result:
        """Under which name the server has it."""
        attached = self.cloud().compute.list_volume_attachments(self.server_id)
        devices = {attachment.volume_id: attachment.device for attachment in attached}
        self.data["device"] = devices.get(self.cinder_id()) or ""
        return Done()

    def succeeded(self) -> None:
        """The volume is the VM's."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        Volume.objects.filter(pk=self.volume_id).update(vm=vm, device=self.data["device"], status="in-use")
        self.log(vm, VMOperationLog.Operation.ATTACH, success=True, detail=self.volume.name)

    def failed(self, failure: Failure) -> None:
        """A new one that was never begun goes; one that was made has been removed by its own job."""
        Volume.objects.filter(pk=self.volume_id, volume_id=None).delete()
        self.log_failure(VMOperationLog.Operation.ATTACH, failure)


@register
@dataclass
class DetachVolume(_AttachmentCommand):
    """Take a volume off a server; the tenant keeps it."""

    vm_id: str
    volume_id: str

    kind: ClassVar[str] = "vms.detach_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Detach a volume from VM")

    def validate(self) -> list[Refusal]:
        """Refuse the disk that the VM boots from."""
        if Volume.objects.filter(pk=self.volume_id, is_boot=True).exists():
            return [Refusal("boot_volume", gettext_lazy("A VM cannot be without the volume it boots from."))]
        return super().validate()

    @step(deadline=minutes(10), title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Detach it."""
        return self.detach()

    @step(deadline=minutes(10), title=gettext_lazy("See it free"))
    def see_it_free(self) -> Result:
        """Wait for `available`."""
        return self.watch_volume("available")

    def succeeded(self) -> None:
        """The volume is on no VM."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        Volume.objects.filter(pk=self.volume_id).update(vm=None, device="", status="available")
        self.log(vm, VMOperationLog.Operation.DETACH, success=True, detail=self.volume.name)

    def failed(self, failure: Failure) -> None:
        """Say why."""
        self.log_failure(VMOperationLog.Operation.DETACH, failure)
