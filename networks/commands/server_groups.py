"""Create and delete server groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from tasks.command import Done, Failure, Result, register, step

from ..models import RowStatus, ServerGroup
from .resources import convert_record, expire_resource, record_resources
from .rows import RowCommand


class ServerGroupCommand(RowCommand):
    """A command on a server group."""

    model: ClassVar[type[Any]] = ServerGroup
    entity_type: ClassVar[str] = "server_group"


@register
@dataclass
class CreateServerGroupCommand(ServerGroupCommand):
    """Create the server group of a row. Its name in the cloud contains the row's id, so it is found again after any crash."""

    row_id: str

    kind: ClassVar[str] = "networks.create_server_group"
    title: ClassVar[str | Promise] = gettext_lazy("Create server group")

    def find_created(self) -> list[str]:
        """Return the ids of every group that was created for this row."""
        return [group.id for group in self.cloud().compute.find_server_groups(self.row.cloud_name)]

    def new_row_params(self) -> frozenset[str]:
        """Return the row."""
        return frozenset({"row_id"})

    @step(title=gettext_lazy("Send create request to cloud"))
    def request_creation(self) -> Result:
        """Create the group, unless an earlier attempt has."""
        compute = self.cloud().compute
        self.data["asked_again"] = self.retrying
        found = compute.find_server_groups(self.row.cloud_name) if self.retrying else []
        group = found[0] if found else compute.create_server_group(self.row.cloud_name, self.row.policy)
        self.data["cloud_id"] = group.id
        self.data["found"] = convert_record("server_group", group)
        return Done(_("Already created by an earlier attempt.") if found else "")

    @request_creation.undo
    def delete_created(self) -> Result:
        """Delete every group that was created."""
        for group_id in self.find_created():
            self.cloud().compute.delete_server_group(group_id)
        return Done()

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the groups of earlier requests whose answers were lost."""
        if self.data["asked_again"]:
            for group_id in self.find_created():
                if group_id != self.data["cloud_id"]:
                    self.cloud().compute.delete_server_group(group_id)
        return Done()

    def on_success(self) -> None:
        """Bind the row to the group."""
        record_resources(self.place, "server_group", [self.data["found"]])
        ServerGroup.objects.filter(pk=self.row_id).update(
            cloud_id=self.data["cloud_id"], status=RowStatus.ACTIVE
        )

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, because the cloud has nothing of the group."""
        ServerGroup.objects.filter(pk=self.row_id).delete()


@register
@dataclass
class RemoveServerGroupCommand(ServerGroupCommand):
    """Delete a server group. VMs that are in it go on, without its policy."""

    row_id: str

    kind: ClassVar[str] = "networks.remove_server_group"
    title: ClassVar[str | Promise] = gettext_lazy("Delete server group")

    @step(title=gettext_lazy("Send delete request to cloud"))
    def request_delete(self) -> Result:
        """Delete the group."""
        if self.row.cloud_id is not None:
            self.cloud().compute.delete_server_group(self.cloud_id)
        return Done()

    def on_success(self) -> None:
        """Delete the row, and let the resource expire."""
        expire_resource(self.place, "server_group", self.row.cloud_id)
        ServerGroup.objects.filter(pk=self.row_id).delete()
