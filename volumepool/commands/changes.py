"""Changing a volume that is there: its size, its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from openstack_client import NotFound
from tasks.command import Done, Failed, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..models import GONE, Volume
from ..states import USABLE
from .volumes import VolumeCommand

# Cinder shows no progress of it, and large volumes take their time with some drivers.
SLOWEST_EXTENSION = minutes(5)


class BoundVolumeCommand(VolumeCommand):
    """A command about a volume that Cinder has."""

    @property
    def cinder_id(self) -> str:
        """Cinder's id of it."""
        return str(self.volume.volume_id)

    def validate(self) -> list[Refusal]:
        """Refuse a volume that has not been made yet, or was not made well."""
        if self.volume.volume_id is None:
            return [Refusal("wrong_state", gettext_lazy("The volume has not been made yet."))]
        if self.volume.status == GONE:
            return [Refusal("wrong_state", gettext_lazy("The cloud has the volume no more; remove it here."))]
        return []


@register
@dataclass
class ExtendVolume(BoundVolumeCommand):
    """Make a volume larger, also one that a VM has; its operating system sees it, its file system does not grow by itself.

    That cannot be taken back: whatever becomes of the job, the row says what Cinder has.
    """

    volume_id: str
    size_gb: int

    kind: ClassVar[str] = "volumepool.extend_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Extend volume")

    def validate(self) -> list[Refusal]:
        """Refuse what a VM boots from, whose size is the VM's own, and what is neither free nor in use."""
        if refusals := super().validate():
            return refusals
        if self.volume.is_boot and self.volume.vm_id is not None:
            message = gettext_lazy("A VM boots from the volume, and is as large as it was made.")
            return [Refusal("in_use", message)]
        if self.volume.status not in USABLE:
            message = gettext_lazy("The volume is '%(status)s'; it has to be available or in use.")
            return [Refusal("wrong_state", message % {"status": self.volume.status})]
        return []

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Extend it, unless an earlier try has."""
        if self.retrying:
            found = self.block_storage().get_volume(self.cinder_id)
            if found.status == "extending" or found.size_gb >= self.size_gb:
                return Done(_("It was asked for already."))
        self.block_storage().extend_volume(self.cinder_id, self.size_gb)
        self.note_request()
        return Done()

    @ask_the_cloud.undo
    def see_what_it_is(self) -> Result:
        """Wait until Cinder is through with it, and note how large it has become."""
        try:
            found = self.block_storage().get_volume(self.cinder_id)
        except NotFound:
            self.data["seen"] = {"status": MISSING}
            return Done()
        self.data["seen"] = {"size_gb": found.size_gb, "status": found.status}
        if found.status == "extending" and not self.moves_no_more(found.status):
            return Wait(1.0, _("Waiting for the cloud to report %s.") % self.volume.status)
        return Done()

    @step(title=gettext_lazy("See it extended"), deadline=minutes(30))
    def see_it_extended(self) -> Result:
        """Wait until it is again what it was."""
        return self.watch(self.cinder_id, self.volume.status)

    @see_it_extended.stalled
    def look_whether_it_grows(self) -> Result:
        """Cinder shows no progress of it: one that has stood still for long was lost, or is left to its deadline."""
        found = self.block_storage().get_volume(self.cinder_id)
        if found.status != "extending":
            return Wait(1.0)
        if self.moves_no_more(found.status, found.updated_at, after=SLOWEST_EXTENSION):
            return self.lost(_("it has been '%(status)s' without moving.") % {"status": found.status})
        return Wait(0.0, _("The cloud still reports %s.") % found.status)

    @step(title=gettext_lazy("Read its size"))
    def read_its_size(self) -> Result:
        """Fail when it is not as large as it should be: some drivers refuse in silence."""
        found = self.block_storage().get_volume(self.cinder_id)
        if found.size_gb < self.size_gb:
            message = _("The cloud has left the volume at %(size)s GB.") % {"size": found.size_gb}
            return Failed("not_extended", message)
        return Done()

    def on_success(self) -> None:
        """It is as large as it was to be."""
        Volume.objects.filter(pk=self.volume_id).update(size_gb=self.size_gb, extending_to_gb=None)

    def on_failure(self, failure: Failure) -> None:
        """It is as large as Cinder says, if that was asked."""
        Volume.objects.filter(pk=self.volume_id).update(extending_to_gb=None)
        super().on_failure(failure)


@register
@dataclass
class RenameVolume(BoundVolumeCommand):
    """Give a volume another name, in Cinder and here."""

    volume_id: str
    name: str

    kind: ClassVar[str] = "volumepool.rename_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Rename volume")

    @step(title=gettext_lazy("Ask the cloud"))
    def ask_the_cloud(self) -> Result:
        """Rename it. The mark too: of a spare whose claim was cancelled half-way, Cinder's volume has neither."""
        self.give_name(self.cinder_id, self.name)
        return Done()

    def on_success(self) -> None:
        """The row follows."""
        Volume.objects.filter(pk=self.volume_id).update(name=self.name)
