"""The command behind a claim of volumes, and behind the creation of several at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import join_messages
from api.messages import message as _
from tasks.command import Command, Done, Entity, Failed, Failure, Result, Spawn, minutes, register, step
from tasks.models import JobStatus

from ..models import Volume
from .spare_claims import ClaimSpareCommand
from .volumes import CreateVolumeCommand, RemoveVolumeCommand

CHILDREN_AT_ONCE = 5


@register
@dataclass
class ClaimVolumesCommand(Command):
    """Process volumes whose rows have been written: claim spares, create new ones, delete replaced ones.

    Each volume has a job of its own and stays when that succeeds, however the others end. This job fails when one of them
    does, with its message.
    """

    taken: list[list[str]] = field(
        default_factory=list
    )  # Of each spare the row's id, Cinder's id and the name.
    made: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    # The source of new volumes; "" for blank ones.
    snapshot_id: str = ""
    image_id: str = ""
    name: str = ""

    kind: ClassVar[str] = "volumepool.provide_volumes"
    title: ClassVar[str | Promise] = gettext_lazy("Create volumes")
    renamed_steps: ClassVar[Mapping[str, str]] = {
        "volume_by_volume": "process_volumes",
        "count_them": "check_results",
    }
    deadline: ClassVar[timedelta] = minutes(240)

    def new_row_params(self) -> frozenset[str]:
        """Return the new volumes, and the spares, which are whichever are ready then."""
        return frozenset({"taken", "made"})

    def describe_change(self) -> dict[str, Any]:
        """Return the number of the volumes, and the size of each."""
        ids = [*(row for row, _cinder, _name in self.taken), *self.made]
        volumes = list(Volume.objects.filter(pk__in=ids).select_related("information_system"))
        return {
            "count": len(volumes),
            "disk_gb": max((volume.size_gb for volume in volumes), default=0),
            "names": sorted(volume.name for volume in volumes),
            "information_system": next((str(volume.information_system) for volume in volumes), ""),
        }

    def locks(self) -> list[str]:
        """Lock every volume."""
        ids = [*(row for row, _cinder, _name in self.taken), *self.made, *self.replaced]
        return [f"volume:{row_id}" for row_id in ids]

    def entity(self) -> Entity:
        """Return the first volume as the entity of the job."""
        first = [*(row for row, _cinder, _name in self.taken), *self.made]
        return Entity("volume", first[0] if first else "", self.name)

    @step(title=gettext_lazy("Process each volume"))
    def process_volumes(self) -> Result:
        """Spawn a job for each volume; `CHILDREN_AT_ONCE` of them run at once."""
        source = {"snapshot_id": self.snapshot_id or None, "image_id": self.image_id or None}
        return Spawn(
            [
                *(
                    ClaimSpareCommand(row, cinder, self.snapshot_id, self.image_id, spare_name=name)
                    for row, cinder, name in self.taken
                ),
                *(CreateVolumeCommand(row, **source) for row in self.made),
                *(RemoveVolumeCommand(row) for row in self.replaced),
            ],
            at_once=CHILDREN_AT_ONCE,
            optional=True,
            permanent=True,
        )

    def on_failure(self, failure: Failure) -> None:
        """Delete the rows of volumes whose jobs never began. A child that began has dealt with its row itself."""
        Volume.objects.filter(pk__in=self.made, volume_id=None).delete()

    @step(title=gettext_lazy("Check results"))
    def check_results(self) -> Result:
        """Fail when a child did not succeed, with the message of the child."""
        failed = [job for job in self.children_of("process_volumes") if job.status != JobStatus.SUCCEEDED]
        if not failed:
            return Done()
        return Failed(
            failed[0].outcome_code or "failed",
            _("%(count)s volumes failed: %(reason)s")
            % {
                "count": len(failed),
                "reason": join_messages((job.outcome_message for job in failed[:3]), "; "),
            },
        )
