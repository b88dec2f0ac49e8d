"""What is done for somebody who wanted several volumes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tasks.command import Command, Done, Entity, Failed, Failure, Result, Spawn, minutes, register, step
from tasks.models import JobStatus

from ..models import Volume
from .taking import TakeSpare
from .volumes import CreateVolume, RemoveVolume

AT_ONCE = 5


@register
@dataclass
class ProvideVolumes(Command):
    """See to volumes whose rows have been written: look at and rename spares, make new ones, remove those in error.

    Each is a job of its own, and each that ends well stays, whatever becomes of the others: the job says which did not.
    """

    taken: list[list[str]] = field(default_factory=list)  # Each the row's id, Cinder's, and the spare's name.
    made: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    # What new ones are copies of; "" for nothing.
    snapshot_id: str = ""
    image_id: str = ""
    name: str = ""

    kind: ClassVar[str] = "volumepool.provide_volumes"
    title: ClassVar[str | Promise] = gettext_lazy("Provide volumes")
    deadline: ClassVar[timedelta] = minutes(240)

    def locks(self) -> list[str]:
        """All of them."""
        ids = [*(row for row, _cinder, _name in self.taken), *self.made, *self.replaced]
        return [f"volume:{row_id}" for row_id in ids]

    def entity(self) -> Entity:
        """The first."""
        first = [*(row for row, _cinder, _name in self.taken), *self.made]
        return Entity("volume", first[0] if first else "", self.name)

    @step(title=gettext_lazy("Volume by volume"))
    def volume_by_volume(self) -> Result:
        """All of them, a few at once."""
        source = {"snapshot_id": self.snapshot_id or None, "image_id": self.image_id or None}
        return Spawn(
            [
                *(
                    TakeSpare(row, cinder, self.snapshot_id, self.image_id, spare_name=name)
                    for row, cinder, name in self.taken
                ),
                *(CreateVolume(row, **source) for row in self.made),
                *(RemoveVolume(row) for row in self.replaced),
            ],
            at_once=AT_ONCE,
            optional=True,
            permanent=True,
        )

    def on_failure(self, failure: Failure) -> None:
        """Rows whose jobs never came to be go: nothing was asked for. What a child has begun, it has ended itself."""
        Volume.objects.filter(pk__in=self.made, volume_id=None).delete()

    @step(title=gettext_lazy("Count them"))
    def count_them(self) -> Result:
        """Fail when some did not succeed, in their own words."""
        failed = [job for job in self.children_of("volume_by_volume") if job.status != JobStatus.SUCCEEDED]
        if not failed:
            return Done()
        return Failed(
            failed[0].outcome_code or "failed",
            _("%(count)s did not succeed: %(reason)s")
            % {"count": len(failed), "reason": "; ".join(job.outcome_message for job in failed[:3])},
        )
