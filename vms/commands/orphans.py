"""Removing from a cloud what the portal made there and knows no more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cloudaccounts.commands import CloudCommand
from cloudaccounts.connect import open_cloud
from tasks.command import Entity, Failed, Result, minutes, register, step
from volumepool.commands import delete_volumes

from ..models import Orphan
from .server import delete_servers


@register
@dataclass
class RemoveOrphan(CloudCommand):
    """Remove a server or volume that carries our mark and belongs to nobody; looked at once more before it goes."""

    orphan_id: int

    kind: ClassVar[str] = "vms.remove_orphan"
    title: ClassVar[str | Promise] = gettext_lazy("Remove orphan")

    @cached_property
    def orphan(self) -> Orphan:
        """What was reported."""
        return Orphan.objects.select_related("account").get(pk=self.orphan_id)

    def locks(self) -> list[str]:
        """The orphan."""
        return [f"orphan:{self.orphan_id}"]

    def entity(self) -> Entity:
        """The orphan."""
        return Entity("orphan", str(self.orphan_id), self.orphan.name or self.orphan.cloud_id)

    @step(deadline=minutes(30), title=gettext_lazy("Ask the cloud to remove it"))
    def ask_the_cloud(self) -> Result:
        """Remove it until the cloud has nothing of it."""
        orphan = self.orphan
        if orphan.belongs_to_a_row():
            return Failed("not_an_orphan", _("It belongs to the portal after all."))
        cloud = open_cloud(orphan.account, orphan.region)
        if orphan.kind == Orphan.Kind.SERVER:
            return delete_servers(cloud.compute, [orphan.cloud_id])
        return delete_volumes(cloud, [orphan.cloud_id])

    def on_success(self) -> None:
        """It is one no more."""
        Orphan.objects.filter(pk=self.orphan_id).delete()
