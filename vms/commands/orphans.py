"""The command that deletes an orphan in its cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from cloudaccounts.commands import CloudCommand
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud, CloudNotFoundError
from tasks.command import Done, Entity, Failed, Result, minutes, register, step
from volumepool.commands import delete_volumes

from ..models import Orphan
from .server import delete_servers


def delete_network_object(cloud: Cloud, kind: str, cloud_id: str) -> Result:
    """Delete a port, security group, floating IP or server group, unless it is in use. One that is gone already is a success."""
    try:
        if is_network_object_used(cloud, kind, cloud_id):
            return Failed("in_use", _("The resource is in use. It was not deleted."))
    except CloudNotFoundError:
        return Done()
    deletions: dict[str, Callable[[str], None]] = {
        Orphan.Kind.PORT: cloud.network.delete_port,
        Orphan.Kind.SECURITY_GROUP: cloud.network.delete_security_group,
        Orphan.Kind.FLOATING_IP: cloud.network.delete_floating_ip,
        Orphan.Kind.SERVER_GROUP: cloud.compute.delete_server_group,
    }
    deletions[kind](cloud_id)
    return Done()


def is_network_object_used(cloud: Cloud, kind: str, cloud_id: str) -> bool:
    """Return whether servers use the object. Raises `CloudNotFoundError`, except for a security group.

    Neutron itself refuses to delete a security group that a port has.
    """
    if kind == Orphan.Kind.PORT:
        return bool(cloud.network.get_port(cloud_id).device_id)
    if kind == Orphan.Kind.FLOATING_IP:
        return bool(cloud.network.get_floating_ip(cloud_id).port_id)
    return kind == Orphan.Kind.SERVER_GROUP and bool(cloud.compute.get_server_group(cloud_id).member_ids)


@register
@dataclass
class RemoveOrphanCommand(CloudCommand):
    """Delete an object that carries the portal's tag or marker and belongs to no row, after checking that again."""

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
                _("The portal has a record of the resource. It was not deleted."),
            )
        cloud = open_cloud(orphan.account, orphan.region)
        if orphan.kind == Orphan.Kind.SERVER:
            return delete_servers(cloud.compute, [orphan.cloud_id])
        if orphan.kind == Orphan.Kind.VOLUME:
            return delete_volumes(cloud, [orphan.cloud_id])
        return delete_network_object(cloud, orphan.kind, orphan.cloud_id)

    def on_success(self) -> None:
        """Delete the row."""
        Orphan.objects.filter(pk=self.orphan_id).delete()
