"""Create an image of a server, and delete such an image with its volume snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from typing import ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import CloudCommand, describe_refusal
from cloudaccounts.connect import open_cloud
from cloudaccounts.models import CloudResource
from cloudaccounts.registry import ListedResource
from cloudaccounts.sync.openstack.images import build_image_resource
from cloudaccounts.sync.resource_writer import write_resources
from openstack_client import Cloud, CloudConflictError, CloudNotFoundError, Image
from tasks.clock import database_now
from tasks.command import Done, Entity, Failed, Failure, Refusal, Result, Wait, Watch, minutes, register, step
from tasks.polling import MISSING

from ..models import IMAGE_WATCHER, VirtualMachine, VMOperationLog, VMSnapshot, VMStatus
from .server import ServerCommand

SNAPSHOT_STATUSES = frozenset({VMStatus.RUNNING, VMStatus.STOPPED, VMStatus.PAUSED, VMStatus.SUSPENDED})
_FAILED_IMAGE_STATUSES = frozenset({"killed", "deleted", "deactivated", MISSING})


def delete_image(cloud: Cloud, image_id: str, volume_snapshots: list[str]) -> Result:
    """Delete an image, then the volume snapshots that it points to, until the cloud has none of them."""
    try:
        cloud.image.get_image(image_id)
        cloud.image.delete_image(image_id)
        return Wait(0.5, _("Waiting for the image to be deleted."))
    except CloudNotFoundError:
        pass
    except CloudConflictError as refusal:
        return Wait(2.0, describe_refusal(refusal))
    is_waiting = False
    for snapshot_id in volume_snapshots:
        try:
            if cloud.block_storage.get_snapshot(snapshot_id).status != "deleting":
                cloud.block_storage.delete_snapshot(snapshot_id)
            is_waiting = True
        except CloudNotFoundError:
            continue
        except CloudConflictError as refusal:
            return Wait(2.0, describe_refusal(refusal))
    return Wait(0.5, _("Waiting for its volume snapshots to be deleted.")) if is_waiting else Done()


@register
@dataclass
class SnapshotVmCommand(ServerCommand):
    """Create an image of a server, from which other VMs can be created. The VM is locked until Nova has finished."""

    vm_id: str
    snapshot_id: str

    kind: ClassVar[str] = "vms.snapshot"
    title: ClassVar[str | Promise] = gettext_lazy("Create snapshot of VM")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_image",
        "see_it_active": "wait_until_image_active",
        "see_the_server_free": "wait_until_server_free",
        "read_it": "read_image",
        "keep_only_one": "delete_duplicates",
    }
    deadline: ClassVar[timedelta] = minutes(180)

    def new_row_params(self) -> frozenset[str]:
        """Return the snapshot."""
        return frozenset({"snapshot_id"})

    @cached_property
    def snapshot(self) -> VMSnapshot:
        """Return the snapshot's row, which was written with the job."""
        snapshots = VMSnapshot.objects.select_related("information_system")
        snapshot: VMSnapshot = snapshots.get(pk=self.snapshot_id)
        return snapshot

    def validate(self) -> list[Refusal]:
        """Refuse a VM whose state allows no image, and a snapshot whose row is gone."""
        # A service that writes the row together with the job has set it.
        is_written = "snapshot" in vars(self)
        if not is_written and not VMSnapshot.objects.filter(pk=self.snapshot_id).exists():
            return [Refusal("gone", _("The snapshot was deleted. Create a new one."))]
        if refusals := self.unbound_refusals():
            return refusals
        status = VMStatus(self.vm.status)
        if status in SNAPSHOT_STATUSES and self.vm.pending_resize is None:
            return []
        message = _("Can't create a snapshot of a VM in state '%(status)s'.")
        return [Refusal("wrong_state", message % {"status": status.label})]

    def watched_name(self) -> str:
        """Return the snapshot's name, because its image shows whether the command is done."""
        return self.snapshot.name

    def list_images(self) -> list[Image]:
        """Return the images that were ever created for this snapshot and still exist."""
        return self.cloud().image.find_images_by_property("portal_snapshot", self.snapshot_id)

    @step(title=gettext_lazy("Send request to cloud"))
    def request_image(self) -> Result:
        """Request an image from Nova, unless an earlier attempt has."""
        # An earlier attempt may have sent a request that Nova has not processed yet.
        self.data["asked_again"] = self.retrying
        if self.retrying and (created := self.list_images()):
            self.data["image_id"] = created[0].id
            return Done(_("Already created by an earlier attempt."))
        self.data["image_id"] = self.cloud().compute.create_image(
            self.server_id,
            name=self.snapshot.name,
            metadata={
                "portal": settings.CLOUD_TAG,
                "portal_snapshot": self.snapshot_id,
                "portal_tenant": str(self.snapshot.information_system.tenant_id),
            },
        )
        self.record_request_id()
        return Done()

    @request_image.undo
    def delete_all_images(self) -> Result:
        """Delete every image of the snapshot, until the cloud has none."""
        return self.delete_images("")

    def delete_images(self, but: str) -> Result:
        """Delete every image that was created for the snapshot except `but`, until the cloud has none of them."""
        removing: dict[str, list[str]] = self.data.setdefault("removing", {})
        new = [image for image in self.list_images() if image.id != but and image.id not in removing]
        if new:
            # Recorded before the image is deleted: nothing else knows its volume snapshots.
            removing.update({image.id: list(image.snapshot_ids) for image in new})
            return Wait(0.1, _("Waiting for the image to be deleted."))
        for image_id, volume_snapshots in removing.items():
            result = delete_image(self.cloud(), image_id, volume_snapshots)
            if not isinstance(result, Done):
                return result
        return Done()

    @step(deadline=minutes(150), title=gettext_lazy("Wait until image is active"))
    def wait_until_image_active(self) -> Result:
        """Wait until the image is complete in Glance."""
        return Watch(
            IMAGE_WATCHER,
            self.vm.polling_scope,
            self.data["image_id"],
            until=frozenset({"active"}),
            unless=_FAILED_IMAGE_STATUSES,
            message=_("Waiting for the cloud to report %s.") % "active",
        )

    @wait_until_image_active.stalled
    def check_progress(self) -> Result:
        """Fail for an image that Nova no longer writes: it would stay `queued` for ever."""
        try:
            server = self.cloud().compute.get_server(self.server_id)
            image = self.cloud().image.get_image(self.data["image_id"])
        except CloudNotFoundError:
            return self.build_lost_failure(_("the server or the image is gone."))
        if image.status != "active" and self.is_lost(server, image.status, image.size_bytes):
            return self.build_lost_failure(_("the image stays '%(status)s'.") % {"status": image.status})
        return Wait(0.0, _("The cloud still reports %s.") % image.status)

    @step(title=gettext_lazy("Wait until server is free"))
    def wait_until_server_free(self) -> Result:
        """Wait for Nova to release the server, a moment after the image is complete; until then it refuses other requests."""
        server = self.cloud().compute.get_server(self.server_id)
        if (server.task_state or "").startswith("image") and not self.is_lost(server):
            return Wait(0.5, _("Waiting for the cloud to release the server."))
        return Done()

    @step(title=gettext_lazy("Read image"))
    def read_image(self) -> Result:
        """Read the image for the catalogue."""
        image = self.cloud().image.get_image(self.data["image_id"])
        self.data["found"] = asdict(build_image_resource(image))
        self.data["size_bytes"] = image.size_bytes
        self.data["volume_snapshots"] = list(image.snapshot_ids)
        return Done()

    @step(deadline=minutes(30), title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the image of an earlier request whose answer was lost, if there may have been one.

        This is the last step, because Nova processes a late request only when the server is free again.
        """
        return self.delete_images(self.data["image_id"]) if self.data["asked_again"] else Done()

    def on_success(self) -> None:
        """Write the image to the catalogue, so that it can be chosen at once."""
        VMSnapshot.objects.filter(pk=self.snapshot_id).update(
            image_id=self.data["image_id"],
            status="active",
            size_bytes=self.data["size_bytes"],
            volume_snapshots=self.data["volume_snapshots"],
        )
        place = (self.vm.account_id, self.vm.region, "image")
        write_resources(place, [ListedResource.from_json(self.data["found"])], database_now())
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        self.log(vm, VMOperationLog.Operation.SNAPSHOT, success=True, detail=self.snapshot.name)

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, because the cloud has nothing of the snapshot."""
        vm = VirtualMachine.objects.select_related("information_system").get(pk=self.vm_id)
        self.log(vm, VMOperationLog.Operation.SNAPSHOT, success=False, detail=failure.detail)
        VMSnapshot.objects.filter(pk=self.snapshot_id).delete()


@register
@dataclass
class RemoveSnapshotCommand(CloudCommand):
    """Delete a snapshot's image and its volume snapshots. An object that is gone already counts as deleted."""

    snapshot_id: str

    kind: ClassVar[str] = "vms.remove_snapshot"
    title: ClassVar[str | Promise] = gettext_lazy("Delete snapshot")
    renamed_steps: ClassVar[Mapping[str, str]] = {"ask_the_cloud": "request_delete"}

    @cached_property
    def snapshot(self) -> VMSnapshot:
        """Return the snapshot as it was when the command first read it."""
        snapshots = VMSnapshot.objects.select_related("account", "information_system")
        snapshot: VMSnapshot = snapshots.get(pk=self.snapshot_id)
        return snapshot

    def locks(self) -> list[str]:
        """Lock the snapshot, and nothing else."""
        return [self.snapshot.lock_key]

    def entity(self) -> Entity:
        """Return the snapshot."""
        return Entity("vm_snapshot", self.snapshot_id, self.snapshot.name)

    def validate(self) -> list[Refusal]:
        """Refuse a snapshot that is still being created."""
        if self.snapshot.image_id is not None:
            return []
        return [Refusal("busy", _("The snapshot is still being created."))]

    @step(deadline=minutes(30), title=gettext_lazy("Delete image in cloud"))
    def request_delete(self) -> Result:
        """Delete the image until the cloud no longer has it or its volume snapshots."""
        cloud = open_cloud(self.snapshot.account, self.snapshot.region)
        if self.snapshot.image_id is None:
            return Failed("busy", _("The snapshot is still being created."))
        return delete_image(cloud, self.snapshot.image_id, self.snapshot.volume_snapshots)

    def on_success(self) -> None:
        """Delete the row and mark the image as expired; the log stays."""
        snapshot = self.snapshot
        CloudResource.objects.filter(
            account=snapshot.account, region=snapshot.region, type="image", cloud_id=snapshot.image_id
        ).expire()
        self.log(success=True, detail=snapshot.name)
        VMSnapshot.objects.filter(pk=self.snapshot_id).delete()

    def on_failure(self, failure: Failure) -> None:
        """Write the reason into the operation log."""
        self.log(success=False, detail=failure.detail)

    def log(self, *, success: bool, detail: str) -> None:
        """Append to the operation log of the snapshot's VM, which may be gone."""
        creator = self.job.created_by
        VMOperationLog.objects.create(
            tenant_id=self.snapshot.information_system.tenant_id,
            vm_id=self.snapshot.vm_id,
            vm_name=self.snapshot.vm_name,
            operation=VMOperationLog.Operation.REMOVE_SNAPSHOT,
            operator=creator.get_username() if creator else "",
            detail=detail,
            success=success,
            job_id=self.job.pk,
        )
