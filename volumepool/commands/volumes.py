"""What a worker does to volumes: create and remove them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import refused_by_cloud
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, Conflict, NotFound
from tasks.command import Done, Entity, Failed, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..models import GONE, Volume, VolumeSnapshot
from ..states import NOT_REMOVED
from .cinder import CinderCommand, MakingCommand
from .letting_go import let_go
from .seen import note_if_gone, write_seen

# What Cinder calls a volume that a server has, gets or loses.
_OF_A_SERVER = frozenset({"in-use", "reserved", "attaching", "detaching"})


class VolumeCommand(CinderCommand):
    """A command about one volume of a tenant."""

    volume_id: str  # The row's id; Cinder's is on the row, once there is one.

    @cached_property
    def volume(self) -> Volume:
        """The volume as it was when the command first looked."""
        volumes = Volume.objects.select_related("account", "information_system")
        volume: Volume = volumes.get(pk=self.volume_id)
        return volume

    def cloud(self) -> Cloud:
        """The cloud that it is in."""
        return open_cloud(self.volume.account, self.volume.region)

    def translate(self, error: Exception) -> Wait | Failed | None:
        """What an error means; of a 404, whether it is the volume that is gone: then its row says so at once."""
        if isinstance(error, NotFound):
            note_if_gone(self.data, self.cloud(), self.volume.volume_id)
        return super().translate(error)

    def on_failure(self, failure: Failure) -> None:
        """What this job has seen of the volume stays."""
        write_seen(self.volume_id, self.data)

    def polling_scope(self) -> str:
        """Its account and region."""
        return self.volume.polling_scope

    def locks(self) -> list[str]:
        """The volume, and nothing else."""
        return [f"volume:{self.volume_id}"]

    def entity(self) -> Entity:
        """The volume."""
        return Entity("volume", self.volume_id, self.volume.name)

    def mark(self) -> dict[str, str]:
        """What Cinder's object carries, to be found by."""
        return {"portal": settings.CLOUD_TAG, "portal_volume": self.volume_id}

    def give_name(self, cinder_id: str, name: str) -> None:
        """Make Cinder's volume this row's to see: its name, and last its mark, which says that both are there."""
        self.block_storage().rename_volume(cinder_id, name)
        self.block_storage().add_metadata(cinder_id, self.mark())


@register
@dataclass
class CreateVolume(MakingCommand, VolumeCommand):
    """Make the volume of a row in Cinder: empty, from an image or from a snapshot."""

    volume_id: str
    image_id: str | None = None
    snapshot_id: str | None = None

    kind: ClassVar[str] = "volumepool.create_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Create volume")

    def ask(self) -> str:
        """Ask for it; Cinder's id."""
        made = self.block_storage().create_volume(
            name=self.volume.name,
            size_gb=self.volume.size_gb,
            image_id=self.image_id,
            snapshot_id=self.snapshot_id,
            volume_type=self.volume.type or None,
            availability_zone=self.volume.availability_zone or None,
            metadata=self.mark() | {"portal_job": str(self.job.pk)},
        )
        return made.id

    def on_success(self) -> None:
        """Bind the row."""
        Volume.objects.filter(pk=self.volume_id).update(volume_id=self.data["cinder_id"], status="available")

    def on_failure(self, failure: Failure) -> None:
        """The cloud has nothing of it, so the row goes."""
        Volume.objects.filter(pk=self.volume_id).delete()


@register
@dataclass
class RemoveVolume(VolumeCommand):
    """Remove a volume from Cinder, and its row when it is gone there. That it is gone already is success.

    `with_its_vm`: its server has just been removed, and the cloud may still be taking the volume off it.
    """

    volume_id: str
    with_its_vm: bool = False

    kind: ClassVar[str] = "volumepool.remove_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Remove volume")

    def validate(self) -> list[Refusal]:
        """Refuse to take a disk from under a VM, and what Cinder does not remove: a volume with snapshots."""
        if self.volume.vm_id is not None and not self.with_its_vm:
            message = gettext_lazy("The volume is attached to a VM; detach it first.")
            return [Refusal("in_use", message)]
        if self.volume.status != GONE and self.volume.status in NOT_REMOVED:
            message = gettext_lazy("The cloud does not remove a volume that is '%(status)s'.")
            return [Refusal("wrong_state", message % {"status": self.volume.status})]
        if count := VolumeSnapshot.objects.filter(volume=self.volume).exclude(status=GONE).count():
            message = gettext_lazy("The volume has %(count)s snapshots; remove them first.")
            return [Refusal("has_snapshots", message % {"count": count})]
        return []

    @step(title=gettext_lazy("Ask the cloud to remove it"), deadline=minutes(30))
    def ask_the_cloud(self) -> Result:
        """Delete it; while the cloud says that its state does not allow it (it is still being detached), ask again."""
        cinder_id = self.volume.volume_id
        if cinder_id is None:
            return self.delete_all(self.made_before())
        try:
            self.block_storage().delete_volume(cinder_id)
        except NotFound:
            return Done(_("It was gone already."))
        except Conflict as refusal:
            return self.judge(cinder_id, refused_by_cloud(refusal))
        self.note_request()
        return Done()

    def judge(self, cinder_id: str, refusal: str) -> Result:
        """What a refusal means, by the volume's fresh state."""
        try:
            status = self.block_storage().get_volume(cinder_id).status
        except NotFound:
            return Done(_("It was gone already."))
        if status == "deleting":
            return Done()
        if status in _OF_A_SERVER and let_go(self.cloud(), cinder_id):
            # Its server is gone, and Cinder was not told.
            return Wait(0.5, refusal)
        if status in _OF_A_SERVER and self.with_its_vm and self.is_leaving(cinder_id):
            return Wait(1.0, refusal)
        # Its state would allow it, or nobody is about to change it: a snapshot hangs on it, or a server of others.
        return Failed("conflict", refusal)

    def is_leaving(self, cinder_id: str) -> bool:
        """Whether the server that it was on goes. One that Nova keeps for a while (SOFT_DELETED) keeps its volumes, too."""
        for kept in self.block_storage().list_reservations(cinder_id):
            if kept.server_id is None:
                continue
            try:
                server = self.cloud().compute.get_server(kept.server_id)
            except NotFound:
                continue
            if server.status == "SOFT_DELETED" and server.task_state is None:
                return False
        return True

    @ask_the_cloud.undo
    def see_it_through(self) -> Result:
        """Its end cannot be taken back: if the cloud has begun it, wait for it, so that the row says what is."""
        if self.volume.volume_id is None:
            return self.delete_all(self.made_before())
        try:
            status = self.block_storage().get_volume(self.volume.volume_id).status
        except NotFound:
            self.data["gone"] = True
            return Done()
        self.data["seen"] = {"status": status}
        if status != "deleting" or self.moves_no_more(status):
            return Done()
        return Wait(0.5, _("Waiting for the volume to go."))

    @step(title=gettext_lazy("See it gone"), deadline=minutes(30))
    def see_it_gone(self) -> Result:
        """Wait until Cinder has it no more."""
        if self.volume.volume_id is None:
            return Done()
        return self.watch(self.volume.volume_id, MISSING)

    @see_it_gone.stalled
    def ask_again(self) -> Result:
        """Ask once more when Cinder shows that it does nothing about it: the first request was lost."""
        assert self.volume.volume_id is not None
        try:
            status = self.block_storage().get_volume(self.volume.volume_id).status
            if status == "deleting":
                return Wait(0.0, _("The cloud still reports %s.") % status)
            if not self.may_ask_again():
                return self.lost(_("it is '%(status)s' again.") % {"status": status})
            self.block_storage().delete_volume(self.volume.volume_id)
            self.note_request()
        except NotFound:
            return Done()
        except Conflict as refusal:
            return Failed("conflict", refused_by_cloud(refusal))
        return Wait(0.0, _("The cloud had lost the request; it was asked again."))

    def on_success(self) -> None:
        """The row goes."""
        Volume.objects.filter(pk=self.volume_id).delete()

    def on_failure(self, failure: Failure) -> None:
        """The row goes with what the cloud had begun to remove."""
        if self.data.get("gone"):
            Volume.objects.filter(pk=self.volume_id).delete()
        else:
            super().on_failure(failure)
