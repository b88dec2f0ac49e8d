"""Validation of rules of security groups before they are sent. All functions raise `InvalidCloudRequestError`."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from .errors import InvalidCloudRequestError
from .records.security import ICMP_PROTOCOLS, MAX_PORT, PROTOCOL_NAMES
from .validation import validate_id

_DIRECTIONS = ("ingress", "egress")
_IP_VERSIONS = {"IPv4": 4, "IPv6": 6}
# Neutron's own names (Zed). It accepts any number from 0 to 255 besides.
_NAMES = frozenset(
    {
        "ah", "dccp", "egp", "esp", "gre", "icmp", "icmpv6", "igmp", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-icmp",
        "ipv6-nonxt", "ipv6-opts", "ipv6-route", "ospf", "pgm", "rsvp", "sctp", "tcp", "udp", "udplite", "vrrp",
    }
)  # fmt: skip
_PORT_PROTOCOLS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite", "33", "136"})


def build_rule(
    *,
    direction: str,
    ethertype: str,
    protocol: str | int | None,
    port_min: int | None,
    port_max: int | None,
    icmp_type: int | None,
    icmp_code: int | None,
    remote_ip_prefix: str | None,
    remote_group_id: str | None,
) -> dict[str, Any]:
    """Return the fields of a new rule as Neutron wants them.

    Names of protocols and ranges of addresses are brought to one form, since Neutron takes "6" and "tcp" for the same, but keeps
    what it was given.
    """
    if direction not in _DIRECTIONS:
        raise InvalidCloudRequestError(
            f"{direction!r:.40} is not a valid direction of a rule; it is 'ingress' or 'egress'."
        )
    if ethertype not in _IP_VERSIONS:
        raise InvalidCloudRequestError(
            f"{ethertype!r:.40} is not a valid address family of a rule; it is 'IPv4' or 'IPv6'."
        )
    name = _normalize_protocol(protocol, ethertype)
    if name in ICMP_PROTOCOLS:
        if port_min is not None or port_max is not None:
            raise InvalidCloudRequestError("ICMP has no ports; a rule for it has a type and a code.")
        first, last = _validate_icmp(icmp_type, icmp_code)
    else:
        if icmp_type is not None or icmp_code is not None:
            raise InvalidCloudRequestError("Only a rule for ICMP has a type and a code.")
        first, last = _validate_ports(name, port_min, port_max)
    payload: dict[str, Any] = {
        "direction": direction,
        "ethertype": ethertype,
        "protocol": name,
        "port_range_min": first,
        "port_range_max": last,
    }
    if remote_ip_prefix is not None and remote_group_id is not None:
        raise InvalidCloudRequestError(
            "The other side of a rule is a range of addresses or a group, not both."
        )
    if remote_ip_prefix is not None:
        payload["remote_ip_prefix"] = normalize_range(remote_ip_prefix, ethertype)
    if remote_group_id is not None:
        payload["remote_group_id"] = validate_id(remote_group_id, "security group")
    return payload


def normalize_range(value: object, ethertype: str) -> str:
    """Return a range of addresses with the bits of the host cleared; a single address is a range of one."""
    try:
        found = ip_network(value, strict=False) if isinstance(value, str) and len(value) <= 100 else None
    except ValueError:
        found = None
    if found is None:
        raise InvalidCloudRequestError(
            f"{value!r:.80} is not a range of addresses such as '192.0.2.0/24' or '2001:db8::/32'."
        )
    if found.version != _IP_VERSIONS[ethertype]:
        raise InvalidCloudRequestError(f"{found} is IPv{found.version}, and the rule is for {ethertype}.")
    return str(found)


def _normalize_protocol(value: object, ethertype: str) -> str | None:
    """Return the name of a protocol where it has one, or its number; None for any."""
    if value is None:
        return None
    name = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if name.isascii() and name.isdigit() and len(name) <= 3 and int(name) <= 255:
        name = PROTOCOL_NAMES.get(int(name), str(int(name)))
    elif name not in _NAMES:
        raise InvalidCloudRequestError(
            f"{value!r:.40} is not a valid protocol: it is a name such as 'tcp', or a number from 0 to 255."
        )
    if name in ICMP_PROTOCOLS:
        # Neutron itself takes "icmp" for ICMPv6 in a rule for IPv6.
        if ethertype == "IPv6":
            return "ipv6-icmp"
        if name != "icmp":
            raise InvalidCloudRequestError("ICMPv6 is a protocol of IPv6; the rule is for IPv4.")
    return name


def _validate_icmp(kind: int | None, code: int | None) -> tuple[int | None, int | None]:
    for value, what in ((kind, "type"), (code, "code")):
        if value is not None and not _is_between(value, 0, 255):
            raise InvalidCloudRequestError(
                f"{value!r:.40} is not a valid ICMP {what}; it is a number from 0 to 255."
            )
    if kind is None and code is not None:
        raise InvalidCloudRequestError("An ICMP code needs a type.")
    return kind, code


def _validate_ports(
    protocol: str | None, first: int | None, last: int | None
) -> tuple[int | None, int | None]:
    if first is None and last is None:
        return None, None
    if protocol not in _PORT_PROTOCOLS:
        raise InvalidCloudRequestError(
            f"A rule for {protocol or 'any protocol'} has no ports; TCP, UDP, SCTP, DCCP and UDP-Lite have."
        )
    if first is None:
        raise InvalidCloudRequestError("A range of ports needs its first port.")
    last = first if last is None else last
    for value in (first, last):
        if not _is_between(value, 1, MAX_PORT):
            raise InvalidCloudRequestError(
                f"{value!r:.40} is not a valid port; it is a number from 1 to {MAX_PORT}."
            )
    if first > last:
        raise InvalidCloudRequestError(f"The range of ports is turned round: {first} is above {last}.")
    return first, last


def _is_between(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
