"""Neutron: security groups and their rules."""

from __future__ import annotations

import ipaddress

from . import neutron_quotas
from .calls import Call
from .neutron_lookup import find_resource, neutron_error
from .neutron_resources import add_rule, build_security_group
from .ports import ensure_default_group
from .state import Resource

# In the order in which Neutron names them in its messages.
_PROTOCOL_NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "igmp": 2, "ip": 0, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "icmpv6": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
    "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
_PORT_PROTOCOLS = {6, 17, 33, 132, 136}
_ANYWHERE = {None, "0.0.0.0/0", "::/0"}


def build_group(call: Call, requested: Resource) -> Resource:
    """Return a new security group with its two rules."""
    project_id = call.token.project_id or ""
    ensure_default_group(call.state, call.region, project_id)
    if requested.get("name") == "default":
        raise neutron_error(
            409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists."
        )
    neutron_quotas.check_quota(call, "security_group_rule", call.region.security_group_rules, more=2)
    return build_security_group(call.state, call.region, project_id, requested)


def check_group_update(call: Call, group: Resource, requested: Resource) -> None:
    """Raise `HttpError` 409 for another name of the group "default", and for this name of another group."""
    name = requested.get("name", group["name"])
    if group["name"] == "default" != name:
        raise neutron_error(
            409, "SecurityGroupCannotUpdateDefault", "Updating default security group not allowed."
        )
    if name == "default" != group["name"]:
        raise neutron_error(
            409, "SecurityGroupDefaultAlreadyExists", "Default security group already exists."
        )


def prepare_group_deletion(call: Call, group: Resource) -> None:
    """Delete a group's rules, and those of others that name it. Raises `HttpError` 409 while a port has it."""
    if group["name"] == "default" and not call.token.is_admin:
        message = "Insufficient rights for removing default security group."
        raise neutron_error(409, "SecurityGroupCannotRemoveDefault", message)
    if any(group["id"] in port["security_groups"] for port in call.region.ports.values()):
        raise neutron_error(409, "SecurityGroupInUse", f"Security Group {group['id']} in use.")
    rules = call.region.security_group_rules
    for rule in [r for r in rules.values() if group["id"] in {r["security_group_id"], r["remote_group_id"]}]:
        prepare_rule_deletion(call, rule)
        del rules[rule["id"]]


def prepare_rule_deletion(call: Call, rule: Resource) -> None:
    """Take a rule from its group."""
    group = call.region.security_groups[rule["security_group_id"]]
    group["security_group_rules"] = [r for r in group["security_group_rules"] if r["id"] != rule["id"]]
    group["revision_number"] += 1


def build_rule(call: Call, requested: Resource) -> Resource:
    """Return a new rule, which is stored in its group. Raises `HttpError` 400, 404 for either group, 409 for an equal rule."""
    if requested.get("direction") not in {"ingress", "egress"}:
        message = f"Invalid input for direction. Reason: {requested.get('direction')} is not in valid_values."
        raise neutron_error(400, "HTTPBadRequest", message)
    ethertype = requested.get("ethertype") or "IPv4"
    if ethertype not in {"IPv4", "IPv6"}:
        message = f"Security group rule for ethertype '{ethertype}' not supported. Allowed values are ['IPv4', 'IPv6']."
        raise neutron_error(400, "SecurityGroupRuleInvalidEtherType", message)
    number = _check_protocol(requested, ethertype)
    _check_range(requested, number)
    _check_remote(call, requested, ethertype)
    group = find_resource(call, "security-groups", str(requested.get("security_group_id")))
    wanted = {
        **requested,
        "ethertype": ethertype,
        "protocol": _normalize_protocol(requested.get("protocol"), ethertype),
    }
    same = next(
        (rule for rule in group["security_group_rules"] if _identity(rule) == _identity(wanted)), None
    )
    if same is not None:
        message = f"Security group rule already exists. Rule id is {same['id']}."
        raise neutron_error(409, "SecurityGroupRuleExists", message)
    return add_rule(call.state, call.region, group, wanted)


def _normalize_protocol(protocol: object, ethertype: str) -> str | None:
    if protocol is None:
        return None
    name = str(protocol).lower()
    return "ipv6-icmp" if name == "icmpv6" or (name == "icmp" and ethertype == "IPv6") else name


def _identity(rule: Resource) -> tuple[object, ...]:
    """Return what two rules of a group must not have in common. Anywhere is as good as no prefix, but 10.0.0.1/8 is not 10.0.0.0/8."""
    protocol, prefix = rule.get("protocol"), rule.get("remote_ip_prefix")
    number = None if protocol is None else str(_PROTOCOL_NUMBERS.get(protocol, protocol))
    return (
        rule["direction"],
        rule["ethertype"],
        number,
        rule.get("port_range_min"),
        rule.get("port_range_max"),
        None if prefix in _ANYWHERE else prefix,
        rule.get("remote_group_id"),
    )


def _check_protocol(requested: Resource, ethertype: str) -> int | None:
    """Return the number of the requested protocol; None for any."""
    protocol = requested.get("protocol")
    if protocol is None:
        return None
    name = str(protocol).lower()
    number = int(name) if name.isdecimal() else _PROTOCOL_NUMBERS.get(name)
    if number is None or number > 255:
        message = f"Security group rule protocol {protocol} not supported. Only protocol values {[None, *_PROTOCOL_NUMBERS]} and"
        message += " integer representations [0 to 255] are supported."
        raise neutron_error(400, "SecurityGroupRuleInvalidProtocol", message)
    if name in {"icmpv6", "ipv6-icmp"} and ethertype == "IPv4":
        message = f"Invalid ethertype IPv4 for protocol {protocol}."
        raise neutron_error(400, "SecurityGroupEthertypeConflictWithProtocol", message)
    return number


def _check_range(requested: Resource, number: int | None) -> None:
    first, last = requested.get("port_range_min"), requested.get("port_range_max")
    if first is None and last is None:
        return
    if number is None:
        message = "Must also specify protocol if port range is given."
        raise neutron_error(400, "SecurityGroupProtocolRequiredWithPorts", message)
    if number in {1, 58}:
        _check_icmp(first, last)
    else:
        _check_ports(first, last, number)


def _check_icmp(kind: int | None, code: int | None) -> None:
    for value, what in ((kind, "type (port_range_min)"), (code, "code (port_range_max)")):
        if value is not None and not 0 <= value <= 255:
            message = f"Invalid value for ICMP {what} {value}. It must be 0 to 255."
            raise neutron_error(400, "SecurityGroupInvalidIcmpValue", message)
    if kind is None:
        message = f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing."
        raise neutron_error(400, "SecurityGroupMissingIcmpType", message)


def _check_ports(first: int | None, last: int | None, number: int) -> None:
    if number not in _PORT_PROTOCOLS:
        message = f"Ports cannot be specified for protocol {number}. Ports are only supported for DCCP, SCTP, TCP, UDP, UDPLITE."
        raise neutron_error(400, "SecurityGroupInvalidProtocolForPort", message)
    for value in (first, last):
        if value is not None and not 1 <= value <= 65535:
            raise neutron_error(400, "SecurityGroupInvalidPortValue", f"Invalid value for port {value}")
    if first is None or last is None or first > last:
        message = "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        raise neutron_error(400, "SecurityGroupInvalidPortRange", message)


def _check_remote(call: Call, requested: Resource, ethertype: str) -> None:
    prefix, group_id = requested.get("remote_ip_prefix"), requested.get("remote_group_id")
    if prefix is not None and group_id is not None:
        message = (
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided."
        )
        raise neutron_error(400, "SecurityGroupMultipleRemoteEntites", message)
    if group_id is not None:
        find_resource(call, "security-groups", str(group_id))
    if prefix is None:
        return
    try:
        version = ipaddress.ip_network(prefix, strict=False).version
    except ValueError:
        raise neutron_error(400, "InvalidCIDR", f"Invalid CIDR {prefix} given as IP prefix.") from None
    if version != int(ethertype[-1]):
        message = f"Conflicting value ethertype {ethertype} for CIDR {prefix}"
        raise neutron_error(400, "SecurityGroupRuleParameterConflict", message)
