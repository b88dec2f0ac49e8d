"""Commands that create and delete volumes of tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import describe_refusal
from cloudaccounts.connect import open_cloud
from cloudaccounts.owner_metadata import build_owner_metadata
from openstack_client import Cloud, CloudConflictError, CloudNotFoundError
from tasks.command import Done, Entity, Failed, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..models import GONE, Volume, VolumeSnapshot
from ..volume_states import ATTACHMENT_STATUSES, UNDELETABLE_STATUSES
from .attachments import release_attachments
from .cinder import CinderCommand, CreateObjectCommand
from .observations import record_if_gone, write_observed_volume


class VolumeCommand(CinderCommand):
    """A command about one volume of a tenant."""

    volume_id: str  # The row's id; Cinder's is on the row, once there is one.

    @cached_property
    def volume(self) -> Volume:
        """The volume's row as it was when the command first read it."""
        volumes = Volume.objects.select_related("account", "information_system")
        volume: Volume = volumes.get(pk=self.volume_id)
        return volume

    def cloud(self) -> Cloud:
        """Open the cloud that holds the volume."""
        return open_cloud(self.volume.account, self.volume.region)

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; on a 404, record it when it is the volume that is gone."""
        if isinstance(error, CloudNotFoundError):
            record_if_gone(self.data, self.cloud(), self.volume.volume_id)
        return super().translate(error)

    def on_failure(self, failure: Failure) -> None:
        """Write what this job has observed of the volume to its row."""
        write_observed_volume(self.volume_id, self.data)

    def describe_change(self) -> dict[str, Any]:
        """Return the volume's application and size."""
        return {
            "information_system": self.volume.information_system.name,
            "disk_gb": self.volume.size_gb,
        }

    def polling_scope(self) -> str:
        """Return the volume's account and region."""
        return self.volume.polling_scope

    def locks(self) -> list[str]:
        """Lock the volume alone."""
        return [f"volume:{self.volume_id}"]

    def entity(self) -> Entity:
        """Return the volume as the entity of the job."""
        return Entity("volume", self.volume_id, self.volume.name)

    def ownership_metadata(self) -> dict[str, str]:
        """Return the metadata by which the volume is found again in Cinder."""
        return {"portal": settings.CLOUD_TAG, "portal_volume": self.volume_id}

    def write_name_and_metadata(self, cinder_id: str, name: str) -> None:
        """Write the name to Cinder's volume, then the metadata: a volume with the metadata has the name too."""
        self.block_storage().rename_volume(cinder_id, name)
        owner = build_owner_metadata(self.volume.information_system_id)
        self.block_storage().add_metadata(cinder_id, self.ownership_metadata() | owner)


@register
@dataclass
class CreateVolumeCommand(CreateObjectCommand, VolumeCommand):
    """Create the volume of a row in Cinder: blank, from an image or from a snapshot."""

    volume_id: str
    image_id: str | None = None
    snapshot_id: str | None = None

    kind: ClassVar[str] = "volumepool.create_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Create volume")

    def create_object(self) -> str:
        """Send the creation request; return Cinder's id."""
        created = self.block_storage().create_volume(
            name=self.volume.name,
            size_gb=self.volume.size_gb,
            image_id=self.image_id,
            snapshot_id=self.snapshot_id,
            volume_type=self.volume.type or None,
            availability_zone=self.volume.availability_zone or None,
            metadata=self.ownership_metadata()
            | build_owner_metadata(self.volume.information_system_id)
            | {"portal_job": str(self.job.pk)},
        )
        return created.id

    def on_success(self) -> None:
        """Bind the row to Cinder's volume."""
        Volume.objects.filter(pk=self.volume_id).update(volume_id=self.data["cinder_id"], status="available")

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, as Cinder has no volume."""
        Volume.objects.filter(pk=self.volume_id).delete()


@register
@dataclass
class RemoveVolumeCommand(VolumeCommand):
    """Delete a volume in Cinder, then its row. A volume that is gone already is a success.

    `with_its_vm`: its server has just been deleted, and the cloud may still be detaching the volume.
    """

    volume_id: str
    with_its_vm: bool = False

    kind: ClassVar[str] = "volumepool.remove_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Delete volume")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_deletion",
        "see_it_gone": "wait_until_deleted",
    }

    def validate(self) -> list[Refusal]:
        """Refuse a protected or attached volume, one with snapshots, and a status in which Cinder deletes no volume."""
        if self.volume.deletion_protection:
            message = _("Deletion protection is on for volume '%(name)s'. Turn it off first.")
            return [Refusal("protected", message % {"name": self.volume.name})]
        if self.volume.vm_id is not None and not self.with_its_vm:
            message = _("The volume is attached to a VM. Detach it first.")
            return [Refusal("in_use", message)]
        if self.volume.status != GONE and self.volume.status in UNDELETABLE_STATUSES:
            message = _("Can't delete the volume: the cloud deletes none that is '%(status)s'.")
            return [Refusal("wrong_state", message % {"status": self.volume.status})]
        if count := VolumeSnapshot.objects.filter(volume=self.volume).exclude(status=GONE).count():
            message = _("The volume has %(count)s snapshots. Delete them first.")
            return [Refusal("has_snapshots", message % {"count": count})]
        return []

    @step(title=gettext_lazy("Send delete request to cloud"), deadline=minutes(30))
    def request_deletion(self) -> Result:
        """Send the request; repeat it while the cloud refuses because the volume is still being detached."""
        cinder_id = self.volume.volume_id
        if cinder_id is None:
            return self.delete_objects(self.find_created())
        try:
            self.block_storage().delete_volume(cinder_id)
        except CloudNotFoundError:
            return Done(_("Already deleted."))
        except CloudConflictError as refusal:
            return self.handle_refusal(cinder_id, describe_refusal(refusal))
        self.record_request_id()
        return Done()

    def handle_refusal(self, cinder_id: str, refusal: str) -> Result:
        """Wait, fail or go on after a refusal, by the volume's fresh status."""
        try:
            status = self.block_storage().get_volume(cinder_id).status
        except CloudNotFoundError:
            return Done(_("Already deleted."))
        if status == "deleting":
            return Done()
        if status in ATTACHMENT_STATUSES and release_attachments(self.cloud(), cinder_id):
            # Its server is gone, and Cinder was not notified.
            return Wait(0.5, refusal)
        if status in ATTACHMENT_STATUSES and self.with_its_vm and self.is_server_being_deleted(cinder_id):
            return Wait(1.0, refusal)
        # No wait would help: a snapshot depends on the volume, or a server outside of the portal has it.
        return Failed("conflict", refusal)

    def is_server_being_deleted(self, cinder_id: str) -> bool:
        """Return whether the server of the volume is being deleted. A SOFT_DELETED server keeps its volumes."""
        for attachment in self.block_storage().list_reservations(cinder_id):
            if attachment.server_id is None:
                continue
            try:
                server = self.cloud().compute.get_server(attachment.server_id)
            except CloudNotFoundError:
                continue
            if server.status == "SOFT_DELETED" and server.task_state is None:
                return False
        return True

    @request_deletion.undo
    def wait_for_begun_deletion(self) -> Result:
        """Wait for a deletion that the cloud has begun: it cannot be undone, and the row has to show its result."""
        if self.volume.volume_id is None:
            return self.delete_objects(self.find_created())
        try:
            status = self.block_storage().get_volume(self.volume.volume_id).status
        except CloudNotFoundError:
            self.data["gone"] = True
            return Done()
        self.data["seen"] = {"status": status}
        if status != "deleting" or self.is_stalled(status):
            return Done()
        return Wait(0.5, _("Waiting for the volume to be deleted."))

    @step(title=gettext_lazy("Wait for deletion"), deadline=minutes(30))
    def wait_until_deleted(self) -> Result:
        """Wait until Cinder no longer has the volume."""
        if self.volume.volume_id is None:
            return Done()
        return self.watch(self.volume.volume_id, MISSING)

    @wait_until_deleted.stalled
    def repeat_deletion(self) -> Result:
        """Send the request again when the volume's status shows that Cinder has lost the first one."""
        assert self.volume.volume_id is not None
        try:
            status = self.block_storage().get_volume(self.volume.volume_id).status
            if status == "deleting":
                return Wait(0.0, _("The cloud still reports %s.") % status)
            if not self.can_retry_request():
                return self.build_lost_failure(_("it is '%(status)s' again.") % {"status": status})
            self.block_storage().delete_volume(self.volume.volume_id)
            self.record_request_id()
        except CloudNotFoundError:
            return Done()
        except CloudConflictError as refusal:
            return Failed("conflict", describe_refusal(refusal))
        return Wait(0.0, _("The cloud lost the request. It was sent again."))

    def on_success(self) -> None:
        """Delete the row."""
        Volume.objects.filter(pk=self.volume_id).delete()

    def on_failure(self, failure: Failure) -> None:
        """Delete the row when the deletion has ended after all; else write what was observed."""
        if self.data.get("gone"):
            Volume.objects.filter(pk=self.volume_id).delete()
        else:
            super().on_failure(failure)
