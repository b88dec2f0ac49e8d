"""Records of Neutron's security groups and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..markers import split_description
from .json_values import (
    MAX_MEMBERS,
    address_range,
    count,
    get_project_id,
    long_text,
    reference,
    require_id,
    text,
    texts,
    timestamp,
)

# The protocols that have a number of their own among the names that people use. Neutron keeps what it was given, a name or a
# number, and takes the two for the same.
PROTOCOL_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
ICMP_PROTOCOLS = frozenset({"icmp", "ipv6-icmp", "icmpv6"})
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class SecurityGroupRule:
    """A rule, which allows traffic: what no rule allows is dropped.

    `direction` is "ingress" or "egress", `ethertype` "IPv4" or "IPv6". `protocol` is a name ("tcp") or a number ("47"), None
    for any. Ports are None for any; for ICMP, the type and code are given instead. The other side is `remote_ip_prefix`, or
    the members of the group `remote_group_id`, or anybody.
    """

    id: str
    security_group_id: str
    direction: str
    ethertype: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str = ""
    marker: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> SecurityGroupRule:
        """Return the record of one element of Neutron's `security_group_rules`."""
        rule_id = require_id(raw, "rule of a security group")
        protocol = _read_protocol(raw.get("protocol"))
        first, last = (count(raw.get(f"port_range_{end}"), MAX_PORT) for end in ("min", "max"))
        is_icmp = protocol in ICMP_PROTOCOLS
        description, marker = split_description(long_text(raw.get("description")) or "")
        return cls(
            id=rule_id,
            security_group_id=reference(raw.get("security_group_id")) or "",
            direction=text(raw.get("direction")) or "",
            ethertype=text(raw.get("ethertype")) or "",
            protocol=protocol,
            port_min=None if is_icmp else first,
            port_max=None if is_icmp else last,
            icmp_type=first if is_icmp else None,
            icmp_code=last if is_icmp else None,
            remote_ip_prefix=address_range(raw.get("remote_ip_prefix")),
            remote_group_id=reference(raw.get("remote_group_id")),
            description=description,
            marker=marker,
        )


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group with its rules, sorted by id.

    Rules that cannot be read are left out; `rule_count` counts all. `marker` is what the end of the description holds (see
    `markers.py`), without which `description` is given.
    """

    id: str
    name: str
    description: str = ""
    rule_count: int = 0
    project_id: str | None = None
    rules: tuple[SecurityGroupRule, ...] = ()
    marker: str | None = None
    tags: tuple[str, ...] = ()
    is_stateful: bool = True
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: Any) -> SecurityGroup:
        """Return the record of one element of Neutron's `security_groups`."""
        group_id = require_id(raw, "security group")
        rules = raw.get("security_group_rules")
        description, marker = split_description(long_text(raw.get("description")) or "")
        return cls(
            id=group_id,
            name=text(raw.get("name")) or "",
            description=description,
            rule_count=len(rules) if isinstance(rules, list) else 0,
            project_id=get_project_id(raw),
            rules=_read_rules(rules),
            marker=marker,
            tags=texts(raw.get("tags")),
            is_stateful=raw.get("stateful") is not False,
            created_at=timestamp(raw.get("created_at")),
        )


def _read_rules(raw: Any) -> tuple[SecurityGroupRule, ...]:
    if not isinstance(raw, list):
        return ()
    found = [
        SecurityGroupRule.from_json(one)
        for one in raw[:MAX_MEMBERS]
        if isinstance(one, dict) and reference(one.get("id"))
    ]
    return tuple(sorted(found, key=lambda rule: rule.id))


def _read_protocol(value: Any) -> str | None:
    """Return the name of a protocol, or its number where it has no name of ours."""
    number = count(value, 255)
    if number is None and isinstance(value, str) and value.isascii() and value.isdigit():
        number = int(value[:4])
    if number is not None:
        return PROTOCOL_NAMES.get(number, str(number))
    found = text(value, 40)
    if found is None or found.lower() == "any":
        return None
    return "ipv6-icmp" if found.lower() == "icmpv6" else found.lower()
