"""Commands that change an existing volume: its size, its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import CloudNotFoundError
from tasks.command import Done, Failed, Failure, Refusal, Result, Wait, minutes, register, step
from tasks.polling import MISSING

from ..models import GONE, Volume
from ..volume_states import USABLE_STATUSES
from .volumes import VolumeCommand

# Cinder shows no progress of an extension, and some drivers take minutes for large volumes.
EXTENSION_STALLED_AFTER = minutes(5)


class BoundVolumeCommand(VolumeCommand):
    """A command about a volume that exists in Cinder."""

    @property
    def cinder_id(self) -> str:
        """Return Cinder's id of the volume."""
        return str(self.volume.volume_id)

    def validate(self) -> list[Refusal]:
        """Refuse a volume that has not been created yet, or that the cloud no longer has."""
        if self.volume.volume_id is None:
            return [
                Refusal(
                    "wrong_state",
                    _("The volume is still being created. Try again when it is available."),
                )
            ]
        if self.volume.status == GONE:
            return [Refusal("wrong_state", _("The volume was deleted in the cloud. Delete it here too."))]
        return []


@register
@dataclass
class ExtendVolumeCommand(BoundVolumeCommand):
    """Extend a volume, also an attached one: the guest sees the new size, its file system does not grow by itself.

    An extension cannot be undone, so the row gets the size that Cinder reports, however the job ends.
    """

    volume_id: str
    size_gb: int

    kind: ClassVar[str] = "volumepool.extend_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Extend volume")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "ask_the_cloud": "request_extension",
        "see_it_extended": "wait_until_extended",
        "read_its_size": "verify_size",
    }

    def describe_change(self) -> dict[str, Any]:
        """Return the new size, and the present one."""
        return {**super().describe_change(), "disk_gb": self.size_gb, "present_gb": self.volume.size_gb}

    def validate(self) -> list[Refusal]:
        """Refuse the boot volume of a VM, as its size is the VM's, and a volume that is neither available nor in use."""
        if refusals := super().validate():
            return refusals
        if self.volume.is_boot and self.volume.vm_id is not None:
            message = _("Can't extend the boot volume of a VM. Resize the VM instead.")
            return [Refusal("in_use", message)]
        if self.volume.status not in USABLE_STATUSES:
            message = _("Can't extend the volume: it is '%(status)s'. It has to be available or in use.")
            return [Refusal("wrong_state", message % {"status": self.volume.status})]
        return []

    @step(title=gettext_lazy("Send extend request to cloud"))
    def request_extension(self) -> Result:
        """Send the request, unless an earlier attempt has."""
        if self.retrying:
            found = self.block_storage().get_volume(self.cinder_id)
            if found.status == "extending" or found.size_gb >= self.size_gb:
                return Done(_("Already requested by an earlier attempt."))
        self.block_storage().extend_volume(self.cinder_id, self.size_gb)
        self.record_request_id()
        return Done()

    @request_extension.undo
    def record_actual_size(self) -> Result:
        """Wait until Cinder has ended the extension, then record the size that the volume has."""
        try:
            found = self.block_storage().get_volume(self.cinder_id)
        except CloudNotFoundError:
            self.data["seen"] = {"status": MISSING}
            return Done()
        self.data["seen"] = {"size_gb": found.size_gb, "status": found.status}
        if found.status == "extending" and not self.is_stalled(found.status):
            return Wait(1.0, _("Waiting for the cloud to report %s.") % self.volume.status)
        return Done()

    @step(title=gettext_lazy("Wait until extended"), deadline=minutes(30))
    def wait_until_extended(self) -> Result:
        """Wait until the volume has its former status again."""
        return self.watch(self.cinder_id, self.volume.status)

    @wait_until_extended.stalled
    def check_extension(self) -> Result:
        """Fail an extension without a change for `EXTENSION_STALLED_AFTER`: Cinder has lost it."""
        found = self.block_storage().get_volume(self.cinder_id)
        if found.status != "extending":
            return Wait(1.0)
        if self.is_stalled(found.status, found.updated_at, after=EXTENSION_STALLED_AFTER):
            return self.build_lost_failure(
                _("it has been '%(status)s' without progress.") % {"status": found.status}
            )
        return Wait(0.0, _("The cloud still reports %s.") % found.status)

    @step(title=gettext_lazy("Verify size"))
    def verify_size(self) -> Result:
        """Fail when the volume does not have the new size: some drivers report no refusal."""
        found = self.block_storage().get_volume(self.cinder_id)
        if found.size_gb < self.size_gb:
            message = _("The cloud ended the extension, but the volume still has %(size)s GB.") % {
                "size": found.size_gb
            }
            return Failed("not_extended", message)
        return Done()

    def on_success(self) -> None:
        """Write the new size to the row."""
        Volume.objects.filter(pk=self.volume_id).update(size_gb=self.size_gb, extending_to_gb=None)

    def on_failure(self, failure: Failure) -> None:
        """End the reservation of the new size; the row has the size that Cinder last reported."""
        Volume.objects.filter(pk=self.volume_id).update(extending_to_gb=None)
        super().on_failure(failure)


@register
@dataclass
class RenameVolumeCommand(BoundVolumeCommand):
    """Rename a volume in Cinder, then here."""

    volume_id: str
    name: str

    kind: ClassVar[str] = "volumepool.rename_volume"
    title: ClassVar[str | Promise] = gettext_lazy("Rename volume")
    renamed_steps: ClassVar[Mapping[str, str]] = {"ask_the_cloud": "request_rename"}

    @step(title=gettext_lazy("Send rename request to cloud"))
    def request_rename(self) -> Result:
        """Write name and metadata: a spare whose claim was canceled has neither of them in Cinder."""
        self.write_name_and_metadata(self.cinder_id, self.name)
        return Done()

    def on_success(self) -> None:
        """Write the name to the row."""
        Volume.objects.filter(pk=self.volume_id).update(name=self.name)
