"""The command behind a claimed spare: inspect it, replace it when it is unusable, give it its new name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import decode_message, encode_message
from api.messages import message as _
from openstack_client import CloudConflictError, CloudNotFoundError
from tasks.command import Done, Failure, Result, Spawn, minutes, register, step

from ..models import OrphanVolume, Volume
from .volumes import CreateVolumeCommand, VolumeCommand


@register
@dataclass
class ClaimSpareCommand(VolumeCommand):
    """Write the tenant's name and metadata to a claimed spare in Cinder.

    The volume has belonged to the tenant since the claim, so nothing here decides that. A spare that is unusable is deleted,
    and a new volume takes its place in the same row.

    `for_vm`: a VM that is being created boots from the volume. When that creation fails, the volume is deleted with the VM.
    """

    volume_id: str
    cinder_id: str
    # The source of a replacement; "" for a blank one.
    snapshot_id: str = ""
    image_id: str = ""
    for_vm: bool = False
    # The name that the pool gave it. Another one means that somebody uses the volume without the portal.
    spare_name: str = ""

    kind: ClassVar[str] = "volumepool.take_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Claim spare volume")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "look_at_it": "inspect_volume",
        "replace_it": "replace_unusable",
        "remove_the_bad_one": "delete_unusable",
        "rename_it": "request_rename",
    }
    deadline: ClassVar[timedelta] = minutes(180)

    @step(title=gettext_lazy("Inspect volume"))
    def inspect_volume(self) -> Result:
        """Check that Cinder has the volume, available, unused, of the pool's size and name."""
        try:
            found = self.block_storage().get_volume(self.cinder_id)
        except CloudNotFoundError:
            self.data["bad"] = encode_message(_("The spare is gone from the cloud."))
            return Done(decode_message(self.data["bad"]))
        # An earlier attempt may have renamed it already.
        is_renamed = bool(self.spare_name) and found.name not in {self.spare_name, self.volume.name}
        if found.is_used or is_renamed:
            self.data["bad"] = encode_message(_("The spare is in use outside of the portal."))
            self.data["taken"] = [found.name, found.status]
        elif found.status != "available" or found.size_gb != self.volume.size_gb:
            self.data["bad"] = encode_message(_("The spare is '%(status)s'.") % {"status": found.status})
        return Done(decode_message(self.data.get("bad", "")))

    @step(title=gettext_lazy("Replace if unusable"))
    def replace_unusable(self) -> Result:
        """Create a new volume for the row when the claimed one is unusable."""
        if "bad" not in self.data:
            return Done()
        if "taken" in self.data:
            volume = self.volume
            OrphanVolume.record_used_volume(
                volume.account, volume.region, self.cinder_id, *self.data["taken"]
            )
        Volume.objects.filter(pk=self.volume_id).update(
            volume_id=None, status="creating", source=Volume.Source.CREATED
        )
        source = {"snapshot_id": self.snapshot_id or None, "image_id": self.image_id or None}
        return Spawn([CreateVolumeCommand(self.volume_id, **source)])

    @step(title=gettext_lazy("Delete unusable volume"))
    def delete_unusable(self) -> Result:
        """Send one delete request for an unusable volume; a volume that somebody uses is left alone.

        A volume that Cinder does not delete now still carries the pool's metadata, so the reconciliation deletes it.
        """
        if "bad" in self.data and "taken" not in self.data:
            with suppress(CloudNotFoundError, CloudConflictError):
                self.block_storage().delete_volume(self.cinder_id)
        return Done()

    @step(title=gettext_lazy("Rename volume"), deadline=minutes(60))
    def request_rename(self) -> Result:
        """Write name and metadata of the tenant's volume in place of the spare's."""
        if "bad" not in self.data:
            self.write_name_and_metadata(self.cinder_id, self.volume.name)
        return Done()

    @request_rename.undo
    def delete_boot_volume(self) -> Result:
        """Delete the boot volume of a VM that failed. Any other volume stays the tenant's, whatever its name."""
        if not self.for_vm or "bad" in self.data:
            return Done()
        return self.delete_objects([self.cinder_id])

    def on_success(self) -> None:
        """Make the volume available to the tenant."""
        Volume.objects.filter(pk=self.volume_id, status="creating").update(status="available")

    def on_failure(self, failure: Failure) -> None:
        """Keep the row of an existing volume; delete the row of a replacement that was not created.

        A failed VM leaves no row: a volume that the undo did not delete is found by its metadata.
        """
        Volume.objects.filter(
            pk=self.volume_id, volume_id=None
        ).delete()  # Its replacement was never created.
        existing = Volume.objects.filter(pk=self.volume_id, volume_id=self.cinder_id)
        if self.for_vm:
            existing.delete()
        else:
            existing.update(status="available")
            super().on_failure(failure)
