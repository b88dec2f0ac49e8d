"""What is done about a spare that somebody has claimed: it is looked at, replaced when it is bad, and gets its new name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from openstack_client import Conflict, NotFound
from tasks.command import Done, Failure, Result, Spawn, minutes, register, step

from ..models import StrayVolume, Volume
from .volumes import CreateVolume, VolumeCommand


@register
@dataclass
class TakeSpare(VolumeCommand):
    """Make a claimed spare the tenant's own in Cinder too: its name and its marks.

    The row has been the tenant's since the claim, so nothing here decides who owns it. One that turns out to be bad is
    removed, and a new volume takes its place in the same row: who asked for it need not know.

    `for_vm`: a VM that is being made is to boot from it, and when that comes to nothing, the volume goes with the VM.
    """

    volume_id: str
    cinder_id: str
    # What a new one is to be a copy of, if it comes to that; "" for nothing.
    snapshot_id: str = ""
    image_id: str = ""
    for_vm: bool = False
    # What the spare was called. Whoever calls it something else has taken it past the portal.
    spare_name: str = ""

    kind: ClassVar[str] = "volumepool.take_spare"
    title: ClassVar[str | Promise] = gettext_lazy("Take spare volume")
    deadline: ClassVar[timedelta] = minutes(180)

    @step(title=gettext_lazy("Look at it"))
    def look_at_it(self) -> Result:
        """Whether Cinder still has it, free, as large as it should be, and as nobody's."""
        try:
            found = self.block_storage().get_volume(self.cinder_id)
        except NotFound:
            self.data["bad"] = _("It is gone.")
            return Done(self.data["bad"])
        # An earlier try may have given it its new name already.
        renamed = bool(self.spare_name) and found.name not in {self.spare_name, self.volume.name}
        if found.is_used or renamed:
            self.data["bad"] = _("Somebody has taken it.")
            self.data["taken"] = [found.name, found.status]
        elif found.status != "available" or found.size_gb != self.volume.size_gb:
            self.data["bad"] = _("It is '%(status)s'.") % {"status": found.status}
        return Done(self.data.get("bad", ""))

    @step(title=gettext_lazy("Replace it if it is bad"))
    def replace_it(self) -> Result:
        """Make a new volume for the row, when what was claimed cannot be used."""
        if "bad" not in self.data:
            return Done()
        if "taken" in self.data:
            volume = self.volume
            StrayVolume.note_taken(volume.account, volume.region, self.cinder_id, *self.data["taken"])
        Volume.objects.filter(pk=self.volume_id).update(
            volume_id=None, status="creating", source=Volume.Source.CREATED
        )
        source = {"snapshot_id": self.snapshot_id or None, "image_id": self.image_id or None}
        return Spawn([CreateVolume(self.volume_id, **source)])

    @step(title=gettext_lazy("Remove the bad one"))
    def remove_the_bad_one(self) -> Result:
        """Ask for its end, once. What Cinder does not remove now still carries the pool's mark: reconciliation sees to it.

        What somebody has taken is his, whatever becomes of it.
        """
        if "bad" in self.data and "taken" not in self.data:
            with suppress(NotFound, Conflict):
                self.block_storage().delete_volume(self.cinder_id)
        return Done()

    @step(title=gettext_lazy("Give it its name"), deadline=minutes(60))
    def rename_it(self) -> Result:
        """Name and marks of the tenant's volume, in place of the spare's."""
        if "bad" not in self.data:
            self.give_name(self.cinder_id, self.volume.name)
        return Done()

    @rename_it.undo
    def remove_it(self) -> Result:
        """What a VM was to boot from goes with it; any other volume is the tenant's, whatever became of its name."""
        if not self.for_vm or "bad" in self.data:
            return Done()
        return self.delete_all([self.cinder_id])

    def on_success(self) -> None:
        """It can be used."""
        Volume.objects.filter(pk=self.volume_id, status="creating").update(status="available")

    def on_failure(self, failure: Failure) -> None:
        """The volume is the tenant's all the same; a row without one goes with its own job.

        Of a VM that came to nothing no row stays: a volume that is still as the pool made it is found by its mark.
        """
        Volume.objects.filter(pk=self.volume_id, volume_id=None).delete()  # Its replacement never came to be.
        mine = Volume.objects.filter(pk=self.volume_id, volume_id=self.cinder_id)
        if self.for_vm:
            mine.delete()
        else:
            mine.update(status="available")
            super().on_failure(failure)
