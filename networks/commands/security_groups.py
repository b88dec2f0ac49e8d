"""Create, change and delete security groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import CloudAlreadyExistsError, CloudInUseError
from tasks.command import Done, Failed, Failure, Result, Wait, minutes, register, step

from ..cloud_columns import security_group_columns
from ..models import RowStatus, SecurityGroup
from ..rules import find_equal, identify
from .resources import convert_record, expire_resource, record_resources
from .rows import RowCommand

# In the rules of a new group: the group itself, whose id is not known when the job is submitted.
OWN_GROUP = "own"
# How often Neutron may refuse to delete a group that is in use: the ports of a deleted server go away a moment after it.
MAX_REFUSALS = 3


class SecurityGroupCommand(RowCommand):
    """A command on a security group."""

    model: ClassVar[type[Any]] = SecurityGroup
    entity_type: ClassVar[str] = "security_group"

    def read_group(self, group_id: str) -> None:
        """Read the group as it is now, for the row and for the synced resources."""
        self.data["group"] = convert_record("security_group", self.network.get_security_group(group_id))

    def write_group(self) -> None:
        """Write what was read last to the row, in the transaction that ends the job."""
        found = self.data.get("group")
        if found is None:
            return
        (listed,) = record_resources(self.place, "security_group", [found])
        SecurityGroup.objects.filter(pk=self.row_id).update(
            cloud_id=listed.cloud_id,
            status=RowStatus.ACTIVE,
            **security_group_columns(listed.name, listed.attributes),
        )


@register
@dataclass
class CreateSecurityGroupCommand(SecurityGroupCommand):
    """Create the security group of a row, with its rules. It carries the row's marker, so it is found again after any crash.

    Neutron gives a new group two rules, which allow everything outward. With `exact`, the group ends with `rules` alone, as a
    copy does.
    """

    row_id: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    exact: bool = False

    kind: ClassVar[str] = "networks.create_security_group"
    title: ClassVar[str | Promise] = gettext_lazy("Create security group")

    def new_row_params(self) -> frozenset[str]:
        """Return the row."""
        return frozenset({"row_id"})

    @step(title=gettext_lazy("Send create request to cloud"))
    def request_creation(self) -> Result:
        """Create the group, unless an earlier attempt has."""
        self.data["asked_again"] = self.retrying
        if self.retrying and (found := self.find_created()):
            self.data["cloud_id"] = found[0]
            return Done(_("Already created by an earlier attempt."))
        group = self.network.create_security_group(
            name=self.row.name, description=self.row.description, marker=self.row.marker
        )
        self.data["cloud_id"] = group.id
        self.record_request_id()
        return Done()

    def find_created(self) -> list[str]:
        """Return the ids of every group that was created for this row."""
        return [group.id for group in self.network.find_security_groups_by_marker(self.row.marker)]

    @request_creation.undo
    def delete_created(self) -> Result:
        """Delete every group that was created."""
        for group_id in self.find_created():
            self.network.delete_security_group(group_id)
        return Done()

    @step(deadline=minutes(10), title=gettext_lazy("Create rules"))
    def create_rules(self) -> Result:
        """Create the rules. One that exists already is that of an earlier attempt, or the same as another."""
        group_id = self.data["cloud_id"]
        for rule in self.rules:
            try:
                self.network.create_security_group_rule(group_id, **build_rule_request(rule, group_id))
            except CloudAlreadyExistsError:
                continue
        if self.exact:
            wanted = [with_own_group(rule, group_id) for rule in self.rules]
            self.read_group(group_id)
            for rule in self.data["group"]["attributes"]["rule_list"]:
                if find_equal(rule, wanted) is None:
                    self.network.delete_security_group_rule(rule["id"])
        return Done()

    @step(title=gettext_lazy("Check for duplicates"))
    def delete_duplicates(self) -> Result:
        """Delete the groups of earlier requests whose answers were lost, and read the group."""
        if self.data["asked_again"]:
            for group_id in self.find_created():
                if group_id != self.data["cloud_id"]:
                    self.network.delete_security_group(group_id)
        self.read_group(self.data["cloud_id"])
        return Done()

    def on_success(self) -> None:
        """Bind the row to the group."""
        self.write_group()

    def on_failure(self, failure: Failure) -> None:
        """Delete the row, because the cloud has nothing of the group."""
        SecurityGroup.objects.filter(pk=self.row_id).delete()


def with_own_group(rule: dict[str, Any], group_id: str) -> dict[str, Any]:
    """Return a rule with the id of its own group in place of `OWN_GROUP`."""
    return {**rule, "remote_group": group_id} if rule.get("remote_group") == OWN_GROUP else rule


def build_rule_request(rule: dict[str, Any], group_id: str) -> dict[str, Any]:
    """Return the arguments of the client's call for a rule."""
    rule = with_own_group(rule, group_id)
    return {
        "direction": rule["direction"],
        "ethertype": rule["ethertype"],
        "protocol": identify(rule)[2],
        "port_min": rule["port_min"],
        "port_max": rule["port_max"],
        "icmp_type": rule.get("icmp_type"),
        "icmp_code": rule.get("icmp_code"),
        "remote_ip_prefix": rule.get("remote_cidr"),
        "remote_group_id": rule.get("remote_group"),
        "description": rule.get("description") or "",
    }


@register
@dataclass
class ChangeSecurityGroupCommand(SecurityGroupCommand):
    """Rename a security group, or describe it anew."""

    row_id: str
    name: str
    description: str

    kind: ClassVar[str] = "networks.change_security_group"
    title: ClassVar[str | Promise] = gettext_lazy("Change security group")

    @step(title=gettext_lazy("Send change request to cloud"))
    def request_change(self) -> Result:
        """Change name and description; the same again changes nothing. The marker stays."""
        self.network.update_security_group(
            self.cloud_id, name=self.name, description=self.description, marker=self.row.marker
        )
        self.read_group(self.cloud_id)
        return Done()

    def on_success(self) -> None:
        """Write the group to its row."""
        self.write_group()


@register
@dataclass
class RemoveSecurityGroupCommand(SecurityGroupCommand):
    """Delete a security group. One that is gone already counts as deleted."""

    row_id: str

    kind: ClassVar[str] = "networks.remove_security_group"
    title: ClassVar[str | Promise] = gettext_lazy("Delete security group")

    @step(title=gettext_lazy("Send delete request to cloud"))
    def request_delete(self) -> Result:
        """Delete the group; its last port may be on its way out."""
        if self.row.cloud_id is None:
            return Done()
        try:
            self.network.delete_security_group(self.cloud_id)
        except CloudInUseError:
            self.data["refused"] = self.data.get("refused", 0) + 1
            if self.data["refused"] < MAX_REFUSALS:
                return Wait(1.0, _("The security group is still in use."))
            return Failed(
                "in_use",
                _("Security group '%(name)s' is in use by a VM. Give the VM other security groups first.")
                % {"name": self.row.name},
            )
        return Done()

    def on_success(self) -> None:
        """Delete the row, and let the resource expire."""
        expire_resource(self.place, "security_group", self.row.cloud_id)
        SecurityGroup.objects.filter(pk=self.row_id).delete()
