"""Attach volumes to servers, and detach them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from openstack_client import CloudConflictError, CloudNotFoundError
from tasks.command import Done, Failed, Failure, Refusal, Result, Spawn, Wait, Watch, minutes, register, step
from tasks.polling import MISSING
from volumepool.commands import (
    CreateVolumeCommand,
    record_if_gone,
    release_attachments,
    write_observed_volume,
)
from volumepool.models import GONE, VOLUME_WATCHER, Volume
from volumepool.volume_states import ATTACHMENT_STATUSES

from ..models import VirtualMachine, VMOperationLog, VMStatus
from .server import LONGEST_WORK, ServerCommand

# Nova refuses a suspended server; on a shelved one it only records the attachment.
ATTACHABLE_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED})


class _AttachmentCommand(ServerCommand):
    """A command about a VM and one of its tenant's volumes."""

    volume_id: str  # The row's id.

    longest_work: ClassVar[timedelta | None] = LONGEST_WORK

    @cached_property
    def volume(self) -> Volume:
        """Return the volume as it was when the command first read it."""
        return Volume.objects.get(pk=self.volume_id)

    def cinder_id(self) -> str:
        """Return Cinder's id of the volume, read anew: a volume that this job creates gets it during the job."""
        return str(Volume.objects.values_list("volume_id", flat=True).get(pk=self.volume_id))

    def locks(self) -> list[str]:
        """Lock the VM and the volume."""
        return [*super().locks(), f"volume:{self.volume_id}"]

    def validate(self) -> list[Refusal]:
        """Refuse what Nova's state does not allow, and a volume that is gone."""
        if not Volume.objects.filter(pk=self.volume_id).exists():
            return [Refusal("gone", _("The volume was deleted. Create a new one."))]
        if refusals := self.unbound_refusals():
            return refusals
        status = VMStatus(self.vm.status)
        if status in ATTACHABLE_STATUSES and self.vm.pending_resize is None:
            return []
        message = _("Can't change the volumes of a VM in state '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": status.label})]

    def volume_status_refusals(self, allowed: frozenset[str]) -> list[Refusal]:
        """Return the refusal of a volume whose Cinder status is not in `allowed`; [] for one that is yet to be created."""
        status, cinder_id = Volume.objects.values_list("status", "volume_id").get(pk=self.volume_id)
        if status == GONE:
            return [Refusal("wrong_state", _("The volume no longer exists in the cloud. Delete it here."))]
        if cinder_id is None or status in allowed:
            return []
        message = _("The volume is in state '%(status)s'; it must be %(allowed)s.")
        values = {"status": status, "allowed": " / ".join(sorted(allowed))}
        return [Refusal("wrong_state", message % values)]

    def is_attached(self) -> bool:
        """Return whether Nova has the volume on the server."""
        attached = self.cloud().compute.list_volume_attachments(self.server_id)
        return self.cinder_id() in {attachment.volume_id for attachment in attached}

    def watched_name(self) -> str:
        """Return the volume's name, because its status shows whether the command is done."""
        return Volume.objects.values_list("name", flat=True).get(pk=self.volume_id)

    def watch_volume(self, until: str) -> Watch:
        """Watch the volume until Cinder reports a status."""
        return Watch(
            VOLUME_WATCHER,
            self.vm.polling_scope,
            self.cinder_id(),
            until=frozenset({until}),
            unless=frozenset({"error", "error_attaching", "error_detaching", "deleting", MISSING}),
            message=_("Waiting for the cloud to report %s.") % until,
        )

    def detach(self) -> Result:
        """Detach the volume until Nova no longer lists it on the server."""
        try:
            if not self.is_attached():
                return Done()
            self.cloud().compute.detach_volume(self.server_id, self.cinder_id())
            self.record_request_id()
        except CloudNotFoundError:
            return Done(_("The volume was already detached."))
        except CloudConflictError as refusal:
            return self.handle_refused_detachment(describe_refusal(refusal))
        return Wait(0.5, _("Waiting for the volume to be detached."))

    def handle_refused_detachment(self, refusal: str) -> Result:
        """Wait while Nova works on another request for the volume, and clean up after a lost request.

        Nova begins a detachment by setting the volume to `detaching` in Cinder, and an attachment by reserving it. After a
        request that was lost at that point, Nova refuses every other one. A lost detachment is rolled back and requested
        again. Of a lost attachment, Cinder's reservation is deleted; Nova goes on listing the volume on the server, which
        only the cloud's operators can change.
        """
        cloud = self.cloud()
        try:
            status = cloud.block_storage.get_volume(self.cinder_id()).status
        except CloudNotFoundError:
            return Done(_("The volume is gone."))
        if not self.is_lost(cloud.compute.get_server(self.server_id), status):
            return Wait(1.0, refusal)
        if status == "detaching" and self.can_retry_request():
            cloud.block_storage.roll_detaching(self.cinder_id())
            return Wait(0.5, _("The cloud had lost the request; it was sent again."))
        if status == "reserved" and release_attachments(cloud, self.cinder_id(), also_of=self.server_id):
            return Wait(0.5, _("Waiting for the volume."))
        if status in {"available", "error"} or self.job.ending:
            return Done(
                _("Nova still lists the volume, which Cinder reports as '%(status)s'.") % {"status": status}
            )
        return self.build_lost_failure(
            _("Nova lists the volume on the server, and Cinder reports '%(status)s'.") % {"status": status}
        )

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; after a 404, record at once when it is the volume that is gone."""
        if isinstance(error, CloudNotFoundError):
            found = Volume.objects.filter(pk=self.volume_id).values_list("volume_id", flat=True).first()
            record_if_gone(self.data, self.cloud(), found)
        return super().translate(error)

    def log_failure(self, operation: str, failure: Failure) -> None:
        """Append the failure to the operation log."""
        detail = failure.detail
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        self.log(vm, operation, success=False, detail=detail)


@register
@dataclass
class AttachVolumeCommand(_AttachmentCommand):
    """Attach a volume to a server. A volume that does not exist in the cloud yet is created first."""

    vm_id: str
    volume_id: str

    kind: ClassVar[str] = "vms.attach_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Attach volume to VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "make_the_volume": "create_volume",
        "ask_the_cloud": "request_attachment",
        "see_it_attached": "wait_until_attached",
        "read_its_device": "read_device",
    }

    def new_row_params(self) -> frozenset[str]:
        """Return the volume, if it does not exist yet."""
        return frozenset({"volume_id"} if self.volume.volume_id is None else ())

    def describe_change(self) -> dict[str, Any]:
        """Return also the volume; the disk is the volume's."""
        return {**super().describe_change(), "volume": self.volume.name, "disk_gb": self.volume.size_gb}

    def validate(self) -> list[Refusal]:
        """Refuse also a volume that is not available in Cinder."""
        return super().validate() or self.volume_status_refusals(frozenset({"available"}))

    @step(title=gettext_lazy("Create volume"))
    def create_volume(self) -> Result:
        """Create the volume if it is new."""
        if self.volume.volume_id is not None:
            return Done()
        return Spawn([CreateVolumeCommand(self.volume_id)])

    @step(title=gettext_lazy("Send request to cloud"))
    def request_attachment(self) -> Result:
        """Attach the volume, unless it is attached already."""
        if self.retrying and self.is_attached():
            return Done()
        try:
            self.cloud().compute.attach_volume(self.server_id, self.cinder_id())
        except CloudConflictError as refusal:
            if not self.is_attached():
                return Failed(refusal.code, describe_refusal(refusal))
        self.record_request_id()
        return Done()

    @request_attachment.undo
    def undo_attachment(self) -> Result:
        """Detach the volume, and wait until it is free: a new volume is about to be deleted."""
        result = self.detach()
        if not isinstance(result, Done):
            return result
        try:
            status = self.cloud().block_storage.get_volume(self.cinder_id()).status
        except CloudNotFoundError:
            return Done()
        self.data["seen"] = {"status": status}
        if status in {"available", "error"}:
            return Done()
        # "reserved" and "attaching" end in another status by themselves, unless the request was lost.
        if self.is_stalled(status) and not release_attachments(self.cloud(), self.cinder_id()):
            return Done(
                _("Nova lists the volume on the server, and Cinder reports '%(status)s'.")
                % {"status": status}
            )
        return Wait(0.5, _("Waiting for the volume."))

    @step(deadline=minutes(10), title=gettext_lazy("Wait until attached"))
    def wait_until_attached(self) -> Result:
        """Wait for `in-use`."""
        return self.watch_volume("in-use")

    @wait_until_attached.stalled
    def compare_nova_and_cinder(self) -> Result:
        """Compare Nova's view and Cinder's: repeat a request that neither has, and fail one that was lost between them."""
        cloud = self.cloud()
        try:
            volume = cloud.block_storage.get_volume(self.cinder_id())
            server = cloud.compute.get_server(self.server_id)
            listed = self.is_attached()
        except CloudNotFoundError as gone:
            record_if_gone(self.data, cloud, self.cinder_id())
            return Failed("not_found", describe_refusal(gone))
        if volume.status == "in-use" and volume.server_ids and self.server_id not in volume.server_ids:
            return Failed("taken", _("The volume was attached to another server in the meantime."))
        if volume.status == "in-use":
            return Wait(1.0)  # The watch reports that.
        if self.has_failed() and volume.status == "available":
            return Failed(
                "refused_by_cloud", _("Nova could not attach the volume.") + self.describe_request()
            )
        if listed:
            if self.is_lost(server, volume.status):
                reason = _("Nova lists the volume on the server, and Cinder reports '%(status)s'.")
                return self.build_lost_failure(reason % {"status": volume.status})
            return Wait(0.0, _("The cloud still reports %s.") % volume.status)
        if volume.status != "available" and not release_attachments(cloud, volume.id):
            return Wait(0.0, _("The cloud still reports %s.") % volume.status)
        if not self.can_retry_request():
            return self.build_lost_failure(_("neither Nova nor Cinder has a trace of it."))
        try:
            cloud.compute.attach_volume(self.server_id, self.cinder_id())
        except CloudConflictError as refusal:
            return Wait(0.0, describe_refusal(refusal))
        self.record_request_id()
        return Wait(0.0, _("The cloud had lost the request; it was sent again."))

    @step(title=gettext_lazy("Read device name"))
    def read_device(self) -> Result:
        """Read the device name under which the server has the volume."""
        attached = self.cloud().compute.list_volume_attachments(self.server_id)
        devices = {attachment.volume_id: attachment.device for attachment in attached}
        self.data["device"] = devices.get(self.cinder_id()) or ""
        return Done()

    def on_success(self) -> None:
        """Write the attachment to the volume's row."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        Volume.objects.filter(pk=self.volume_id).update(
            vm=vm,
            device=self.data["device"],
            status="in-use",
            server_id=self.server_id,
            nova_server_id=None,
            missing_count=0,
        )
        self.log(vm, VMOperationLog.Operation.ATTACH, success=True, detail=self.volume.name)

    def on_failure(self, failure: Failure) -> None:
        """Delete the row of a new volume that was not created; the job of a created one has deleted its row."""
        Volume.objects.filter(pk=self.volume_id, volume_id=None).delete()
        write_observed_volume(self.volume_id, self.data)
        self.log_failure(VMOperationLog.Operation.ATTACH, failure)


@register
@dataclass
class DetachVolumeCommand(_AttachmentCommand):
    """Detach a volume from a server; the tenant keeps it."""

    vm_id: str
    volume_id: str

    kind: ClassVar[str] = "vms.detach_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Detach volume from VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_detachment",
        "see_it_free": "wait_until_available",
    }

    def validate(self) -> list[Refusal]:
        """Refuse the disk that the VM boots from."""
        if Volume.objects.filter(pk=self.volume_id, is_boot=True).exists():
            return [Refusal("boot_volume", _("The boot volume can't be detached."))]
        return super().validate() or self.volume_status_refusals(ATTACHMENT_STATUSES)

    @step(deadline=minutes(10), title=gettext_lazy("Send request to cloud"))
    def request_detachment(self) -> Result:
        """Detach the volume."""
        return self.detach()

    @step(deadline=minutes(10), title=gettext_lazy("Wait until available"))
    def wait_until_available(self) -> Result:
        """Wait for `available`."""
        return self.watch_volume("available")

    @wait_until_available.stalled
    def compare_nova_and_cinder(self) -> Result:
        """Compare Nova's view and Cinder's: release an attachment of Cinder's to a server that no longer has the volume."""
        cloud = self.cloud()
        try:
            volume = cloud.block_storage.get_volume(self.cinder_id())
        except CloudNotFoundError as gone:
            self.data["seen"] = {"status": MISSING}
            return Failed("not_found", describe_refusal(gone))
        if volume.status == "available":
            return Wait(1.0)  # The watch reports that.
        if release_attachments(cloud, volume.id):
            return Wait(0.0, _("Waiting for the volume."))
        if self.is_stalled(volume.status, volume.updated_at):
            self.data["seen"] = {"status": volume.status}
            reason = _("the server no longer has the volume, and Cinder reports '%(status)s'.")
            return self.build_lost_failure(reason % {"status": volume.status})
        return Wait(0.0, _("The cloud still reports %s.") % volume.status)

    def on_success(self) -> None:
        """Write the detachment to the volume's row."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        Volume.objects.filter(pk=self.volume_id).update(
            vm=None,
            device="",
            status="available",
            server_id="",
            nova_server_id=None,
            missing_count=0,
        )
        self.log(vm, VMOperationLog.Operation.DETACH, success=True, detail=self.volume.name)

    def on_failure(self, failure: Failure) -> None:
        """Write the status that Cinder reports, and the reason into the operation log."""
        write_observed_volume(self.volume_id, self.data)
        self.log_failure(VMOperationLog.Operation.DETACH, failure)
