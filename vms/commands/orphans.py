"""The command that deletes an orphan in its cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import CloudCommand
from cloudaccounts.connect import open_cloud
from tasks.command import Entity, Failed, Result, minutes, register, step
from volumepool.commands import delete_volumes

from ..models import Orphan
from .server import delete_servers


@register
@dataclass
class RemoveOrphanCommand(CloudCommand):
    """Delete a server or volume that carries the portal's tag and belongs to no row, after checking that again."""

    orphan_id: int

    kind: ClassVar[str] = "vms.remove_orphan"
    title: ClassVar[str | Promise] = gettext_lazy("Delete orphaned resource")
    renamed_steps: ClassVar[Mapping[str, str]] = {"ask_the_cloud": "delete_object"}

    @cached_property
    def orphan(self) -> Orphan:
        """Return the orphan that was reported."""
        return Orphan.objects.select_related("account").get(pk=self.orphan_id)

    def locks(self) -> list[str]:
        """Lock the orphan."""
        return [f"orphan:{self.orphan_id}"]

    def entity(self) -> Entity:
        """Return the orphan as the entity of the job."""
        return Entity("orphan", str(self.orphan_id), self.orphan.name or self.orphan.cloud_id)

    @step(deadline=minutes(30), title=gettext_lazy("Send delete request to cloud"))
    def delete_object(self) -> Result:
        """Delete the object until the cloud no longer has it."""
        orphan = self.orphan
        if orphan.has_row():
            return Failed(
                "not_an_orphan",
                _("The resource belongs to a VM or volume of the portal. It was not deleted."),
            )
        cloud = open_cloud(orphan.account, orphan.region)
        if orphan.kind == Orphan.Kind.SERVER:
            return delete_servers(cloud.compute, [orphan.cloud_id])
        return delete_volumes(cloud, [orphan.cloud_id])

    def on_success(self) -> None:
        """Delete the row."""
        Orphan.objects.filter(pk=self.orphan_id).delete()
