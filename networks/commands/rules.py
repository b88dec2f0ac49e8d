"""Add rules to security groups, and remove them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from api.messages import message as _
from openstack_client import CloudAlreadyExistsError
from tasks.command import Done, Failed, Failure, Result, register, step

from .security_groups import SecurityGroupCommand, build_rule_request


@register
@dataclass
class AddRulesCommand(SecurityGroupCommand):
    """Add rules to a security group: all of them, or none. Each carries the job's marker."""

    row_id: str
    rules: list[dict[str, Any]] = field(default_factory=list)

    kind: ClassVar[str] = "networks.add_rules"
    title: ClassVar[str | Promise] = gettext_lazy("Add rules to security group")

    @property
    def rule_marker(self) -> str:
        """Return the marker of the rules that this job creates."""
        return f"portal-job:{self.job.pk}"

    def list_created(self) -> list[str]:
        """Return the ids of the rules that this job has created."""
        rules = self.network.list_security_group_rules(self.cloud_id)
        return [rule.id for rule in rules if rule.marker == self.rule_marker]

    @step(title=gettext_lazy("Send request to cloud"))
    def request_rules(self) -> Result:
        """Create the rules. Neutron refuses an equal rule: it is this job's own, or one that others have added meanwhile."""
        for rule in self.rules:
            try:
                self.network.create_security_group_rule(
                    self.cloud_id, **build_rule_request(rule, self.cloud_id), marker=self.rule_marker
                )
            except CloudAlreadyExistsError as exists:
                if exists.existing_id in self.list_created():
                    continue
                return Failed("already_exists", _("The security group already has this rule."))
        self.read_group(self.cloud_id)
        return Done()

    @request_rules.undo
    def delete_created(self) -> Result:
        """Delete the rules that this job has created."""
        for rule_id in self.list_created():
            self.network.delete_security_group_rule(rule_id)
        self.read_group(self.cloud_id)
        return Done()

    def on_success(self) -> None:
        """Write the rules to the group's row."""
        self.write_group()

    def on_failure(self, failure: Failure) -> None:
        """Write the group as it was read after the undo."""
        self.write_group()


@register
@dataclass
class RemoveRuleCommand(SecurityGroupCommand):
    """Remove a rule from a security group. One that is gone already counts as removed."""

    row_id: str
    rule_id: str

    kind: ClassVar[str] = "networks.remove_rule"
    title: ClassVar[str | Promise] = gettext_lazy("Remove rule from security group")

    @step(title=gettext_lazy("Send request to cloud"))
    def request_removal(self) -> Result:
        """Delete the rule."""
        self.network.delete_security_group_rule(self.rule_id)
        self.read_group(self.cloud_id)
        return Done()

    def on_success(self) -> None:
        """Write the rules to the group's row."""
        self.write_group()
