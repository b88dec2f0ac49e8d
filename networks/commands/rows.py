"""The base of the commands on rows of this room."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from cloudaccounts.commands import CloudCommand
from cloudaccounts.connect import open_cloud
from openstack_client import Cloud
from tasks.command import Entity, Failed, Wait

from .refusals import explain_refusal


class RowCommand(CloudCommand):
    """A command on the object of one row, whose key is `row_id`."""

    row_id: str

    model: ClassVar[type[Any]]
    entity_type: ClassVar[str]

    @cached_property
    def row(self) -> Any:
        """Return the row as it was when the command first read it; the submitting service sets its locked row here."""
        return self.model.objects.select_related("account").get(pk=self.row_id)

    def cloud(self) -> Cloud:
        """Open the cloud that the object is in."""
        return open_cloud(self.row.account, self.row.region)

    @property
    def network(self) -> Any:
        """Return Neutron's calls."""
        return self.cloud().network

    @property
    def place(self) -> tuple[int, str]:
        """Return the account's key and the region."""
        return self.row.account_id, self.row.region

    @property
    def cloud_id(self) -> str:
        """Return the id in the cloud of an object that exists there."""
        assert self.row.cloud_id is not None
        return str(self.row.cloud_id)

    def locks(self) -> list[str]:
        """Lock the row, and nothing else."""
        return [f"{self.model.lock_name}:{self.row_id}"]

    def entity(self) -> Entity:
        """Return the row."""
        return Entity(self.entity_type, self.row_id, str(self.row))

    def translate(self, error: Exception) -> Wait | Failed | None:
        """Translate an error; say in words what this room knows about it."""
        return explain_refusal(error) or super().translate(error)
