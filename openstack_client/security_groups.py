"""Security groups and their rules: Neutron."""

from __future__ import annotations

from collections.abc import Iterator

from .markers import build_description
from .neutron_requests import PAGE_SIZE, NeutronRequests, read_object
from .paging import RecordPage
from .records import SecurityGroup, SecurityGroupRule
from .security_group_rules import build_rule
from .validation import validate_id, validate_name

_GROUPS = "/security-groups"
_RULES = "/security-group-rules"


class SecurityGroups(NeutronRequests):
    """Neutron's calls for security groups.

    A new group has two rules, which allow all egress traffic, IPv4 and IPv6. Every project has a group "default", which
    Neutron makes when it is first needed: its members may also send anything to each other.
    """

    def security_group_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[SecurityGroup]]:
        """List security groups with their rules, page by page: the project's own, and those shared with it."""
        return self._pages(_GROUPS, "security_groups", SecurityGroup.from_json, page_size)

    def get_security_group(self, group_id: str) -> SecurityGroup:
        """Get one security group with its rules. Raises `CloudNotFoundError`."""
        path = f"{_GROUPS}/{validate_id(group_id, 'security group')}"
        body = self._call("GET", path, f"read security group {group_id}")
        return read_object(body, "security_group", SecurityGroup.from_json)

    def find_security_groups_by_marker(self, marker: str) -> list[SecurityGroup]:
        """List the project's groups with this marker: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        return self._find_by_marker(_GROUPS, "security_groups", SecurityGroup.from_json, marker)

    def create_security_group(
        self, *, name: str, description: str = "", marker: str | None = None
    ) -> SecurityGroup:
        """Create a security group; return it with its two rules. Not safe to repeat: look for its marker first.

        After `CloudUnavailableError` the group may exist nevertheless. Raises `CloudQuotaExceededError`, and
        `CloudDefaultGroupError` for the name "default".
        """
        payload = {
            "name": validate_name(name, "security group"),
            "description": build_description(description, marker),
        }
        body = self._call("POST", _GROUPS, f"create security group {name}", json={"security_group": payload})
        return read_object(body, "security_group", SecurityGroup.from_json)

    def update_security_group(
        self, group_id: str, *, name: str, description: str, marker: str | None
    ) -> SecurityGroup:
        """Change the name, the description and the marker of a group. Raises `CloudNotFoundError`, and `CloudDefaultGroupError`."""
        payload = {
            "name": validate_name(name, "security group"),
            "description": build_description(description, marker),
        }
        path = f"{_GROUPS}/{validate_id(group_id, 'security group')}"
        doing = f"change security group {group_id}"
        body = self._call("PUT", path, doing, json={"security_group": payload})
        return read_object(body, "security_group", SecurityGroup.from_json)

    def delete_security_group(self, group_id: str) -> None:
        """Delete a group and its rules; one that is gone already is a success.

        Rules of other groups that name it as their other side are deleted with it. Raises `CloudInUseError` while a port has
        it, and `CloudDefaultGroupError`.
        """
        path = f"{_GROUPS}/{validate_id(group_id, 'security group')}"
        self._delete(path, f"delete security group {group_id}")

    def list_security_group_rules(self, group_id: str) -> list[SecurityGroupRule]:
        """List the rules of one group of the project, sorted by id; [] for a group that does not exist.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        wanted = validate_id(group_id, "security group")
        found = self._find(
            _RULES,
            "security_group_rules",
            SecurityGroupRule.from_json,
            {"security_group_id": wanted},
            lambda rule: rule.security_group_id == wanted,
        )
        return sorted(found, key=lambda rule: rule.id)

    def create_security_group_rule(
        self,
        group_id: str,
        *,
        direction: str,
        ethertype: str = "IPv4",
        protocol: str | int | None = None,
        port_min: int | None = None,
        port_max: int | None = None,
        icmp_type: int | None = None,
        icmp_code: int | None = None,
        remote_ip_prefix: str | None = None,
        remote_group_id: str | None = None,
        description: str = "",
        marker: str | None = None,
    ) -> SecurityGroupRule:
        """Create a rule. It takes effect at once on all ports of the group. `port_min` alone is a single port.

        Safe to repeat: an equal rule is `CloudAlreadyExistsError`, whose `existing_id` is that rule's. Raises
        `CloudNotFoundError` for either group, `CloudQuotaExceededError`, and `InvalidCloudRequestError` for what does not go together
        (see `build_rule`).
        """
        payload = build_rule(
            direction=direction,
            ethertype=ethertype,
            protocol=protocol,
            port_min=port_min,
            port_max=port_max,
            icmp_type=icmp_type,
            icmp_code=icmp_code,
            remote_ip_prefix=remote_ip_prefix,
            remote_group_id=remote_group_id,
        )
        payload["security_group_id"] = validate_id(group_id, "security group")
        payload["description"] = build_description(description, marker)
        doing = f"create a rule of security group {group_id}"
        body = self._call("POST", _RULES, doing, json={"security_group_rule": payload})
        return read_object(body, "security_group_rule", SecurityGroupRule.from_json)

    def delete_security_group_rule(self, rule_id: str) -> None:
        """Delete a rule; one that is gone already is a success."""
        path = f"{_RULES}/{validate_id(rule_id, 'rule of a security group')}"
        self._delete(path, f"delete rule {rule_id} of a security group")
