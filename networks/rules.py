"""Rules of security groups: validated, compared, warned about, and told in words. Nothing here reads a cloud or the database.

A rule is a dict in the form of `security_group` resources: `direction`, `ethertype`, `protocol`, `port_min`, `port_max`, `icmp_type`, `icmp_code`,
`remote_cidr`, `remote_group` (an id in the cloud), `description`; a stored one has its `id` in the cloud. Null does not limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

Rule = dict[str, Any]
Errors = dict[str, list[str | Promise]]

DIRECTIONS = ("ingress", "egress")
ETHERTYPES = ("IPv4", "IPv6")
MAX_PORT = 65535
# The protocols that have ports. Neutron takes more protocols; those of others are numbers from 0 to 255.
PORT_PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
PROTOCOLS = ("tcp", "udp", "sctp", "icmp")
_ALIASES = {"any": None, "": None, "icmpv6": "icmp", "ipv6-icmp": "icmp", "1": "icmp", "58": "icmp", "6": "tcp", "17": "udp", "132": "sctp"}  # fmt: skip
MAX_ICMP = 255
# The type of an echo request, which is a ping: by IANA's registries of ICMP and of ICMPv6 types.
ECHO_REQUESTS = {"IPv4": 8, "IPv6": 128}
# The ports of remote logins, about which a rule for everybody is warned.
LOGIN_PORTS = {22: "SSH", 3389: "RDP"}
# What makes two rules the same for Neutron.
_IDENTITY = (
    "direction",
    "ethertype",
    "protocol",
    "port_min",
    "port_max",
    "icmp_type",
    "icmp_code",
    "remote_cidr",
    "remote_group",
)


def build_rule(fields: Mapping[str, Any]) -> tuple[Rule, Errors]:
    """Return a rule in its stored form, and the errors by field. A rule with errors is not complete."""
    errors: Errors = {}
    cidr = _read_range(fields.get("remote_cidr") or "", errors)
    ethertype = fields.get("ethertype") or (f"IPv{cidr.version}" if cidr else "IPv4")
    if cidr is not None and ethertype != f"IPv{cidr.version}":
        message = gettext_lazy("'%(range)s' is an %(family)s range, and the rule is for %(ethertype)s.")
        values = {"range": cidr, "family": f"IPv{cidr.version}", "ethertype": ethertype}
        errors["remote_cidr"] = [message % values]
    if cidr is not None and fields.get("remote_group"):
        errors["remote_group"] = [gettext_lazy("Enter either an address range or a security group.")]
    protocol = _read_protocol(fields.get("protocol"), errors)
    first, last = _read_ports(fields, protocol, errors)
    icmp_type, icmp_code = _read_icmp(fields, protocol, errors)
    rule = {
        "direction": fields.get("direction") or "ingress",
        "ethertype": ethertype,
        "protocol": protocol,
        "port_min": first,
        "port_max": last,
        "icmp_type": icmp_type,
        "icmp_code": icmp_code,
        "remote_cidr": str(cidr) if cidr is not None else None,
        "remote_group": fields.get("remote_group") or None,
        "description": fields.get("description", ""),
    }
    return rule, errors


def _read_range(text: str, errors: Errors) -> IPv4Network | IPv6Network | None:
    if not text:
        return None
    try:
        if "%" in text:
            raise ValueError  # A zone, such as "fe80::1%eth0": it means something on one host alone.
        return ip_network(text, strict=False)
    except ValueError:
        message = gettext_lazy(
            "'%(text)s' is no address range. Enter one such as 192.0.2.0/24 or 2001:db8::/32."
        )
        errors["remote_cidr"] = [message % {"text": text}]
        return None


def _read_protocol(value: Any, errors: Errors) -> str | None:
    name = str(value if value is not None else "").strip().lower()
    name_or_none = _ALIASES.get(name, name)
    if name_or_none is None or name_or_none in PROTOCOLS:
        return name_or_none
    if name.isascii() and name.isdigit() and len(name) <= 3 and int(name) <= 255:
        return str(int(name))
    message = gettext_lazy(
        "Unknown protocol '%(protocol)s'. Known: %(known)s, any, or a number from 0 to 255."
    )
    errors["protocol"] = [message % {"protocol": name, "known": ", ".join(PROTOCOLS)}]
    return None


def _read_ports(
    fields: Mapping[str, Any], protocol: str | None, errors: Errors
) -> tuple[int | None, int | None]:
    first, last = fields.get("port_min"), fields.get("port_max")
    if first is None and last is None:
        return None, None
    if first is None:
        errors["port_min"] = [gettext_lazy("Enter the first port, too.")]
        return None, None
    last = first if last is None else last
    if protocol not in PORT_PROTOCOLS and "protocol" not in errors:
        message = gettext_lazy("Only rules for tcp, udp and sctp have ports. Select one of them.")
        errors["protocol"] = [message]
    if first > last:
        message = gettext_lazy("The last port %(last)s is below the first port %(first)s.")
        errors["port_max"] = [message % {"first": first, "last": last}]
    return first, last


def _read_icmp(
    fields: Mapping[str, Any], protocol: str | None, errors: Errors
) -> tuple[int | None, int | None]:
    """Return type and code of a rule for ICMP. Neutron takes a type for all of its codes, and no code without a type."""
    kind, code = fields.get("icmp_type"), fields.get("icmp_code")
    for name, value in (("icmp_type", kind), ("icmp_code", code)):
        if value is not None and protocol != "icmp" and "protocol" not in errors:
            errors[name] = [gettext_lazy("Only rules for icmp have a type and a code. Select icmp.")]
    if kind is None and code is not None:
        errors.setdefault("icmp_type", [gettext_lazy("Enter the ICMP type, too.")])
    return kind, code


def identify(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes a rule the same as another one for Neutron: 0.0.0.0/0 equals no range."""
    values = {name: rule.get(name) for name in _IDENTITY}
    values["protocol"] = _ALIASES.get(str(values["protocol"] or ""), values["protocol"])
    if is_everywhere(values["remote_cidr"]):
        values["remote_cidr"] = None
    return tuple(values[name] for name in _IDENTITY)


def is_everywhere(cidr: object) -> bool:
    """Return whether an address range, or none, is every address."""
    return not cidr or str(cidr).endswith("/0")


def find_equal(rule: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the rule of a group that is the same as another one; None when there is none."""
    wanted = identify(rule)
    return next((one for one in rules if identify(one) == wanted), None)


def covers(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    """Return whether one rule allows everything that another one allows."""
    if any(wide.get(name) != narrow.get(name) for name in ("direction", "ethertype")):
        return False
    if wide.get("protocol") is not None and identify(wide)[2] != identify(narrow)[2]:
        return False
    if wide.get("port_min") is not None and (
        narrow.get("port_min") is None
        or not wide["port_min"] <= narrow["port_min"] <= narrow["port_max"] <= wide["port_max"]
    ):
        return False
    for name in ("icmp_type", "icmp_code"):
        if wide.get(name) is not None and wide.get(name) != narrow.get(name):
            return False
    if wide.get("remote_group"):
        return bool(wide["remote_group"] == narrow.get("remote_group"))
    if is_everywhere(wide.get("remote_cidr")):
        return True
    return bool(narrow.get("remote_cidr")) and contains_range(
        str(wide["remote_cidr"]), str(narrow["remote_cidr"])
    )


def contains_range(outer: str, inner: str) -> bool:
    """Return whether an address range contains another one; False when one cannot be read."""
    try:
        first, second = ip_network(outer, strict=False), ip_network(inner, strict=False)
    except ValueError:
        return False
    if isinstance(first, IPv4Network) and isinstance(second, IPv4Network):
        return second.subnet_of(first)
    return isinstance(first, IPv6Network) and isinstance(second, IPv6Network) and second.subnet_of(first)


def allows_port(rule: Mapping[str, Any], protocol: str, port: int) -> bool:
    """Return whether a rule for incoming traffic lets a port be reached."""
    if rule.get("direction") != "ingress" or rule.get("protocol") not in {None, protocol}:
        return False
    return rule.get("port_min") is None or int(rule["port_min"]) <= port <= int(rule["port_max"])


def list_warnings(rule: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Return what a person should know about a rule that is allowed nevertheless. `others` are the other rules of its group."""
    warnings = []
    if not rule.get("remote_group") and is_everywhere(rule.get("remote_cidr")):
        for port, name in LOGIN_PORTS.items():
            if allows_port(rule, "tcp", port):
                message = _(
                    "Everybody on the internet can try to sign in by %(name)s (port %(port)s). Allow only the addresses of your office."
                )
                warnings.append(message % {"name": name, "port": port})
    if other := next((one for one in others if covers(one, rule)), None):
        warnings.append(_("Another rule already allows this: %(rule)s") % {"rule": describe_rule(other)})
    return warnings


def sort_rules(rules: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return rules as people read them: what comes in first, then by protocol, port and other side."""
    return sorted(
        rules,
        key=lambda rule: (
            rule.get("direction") != "ingress",
            rule.get("protocol") or "",
            rule.get("port_min") or rule.get("icmp_type") or 0,
            rule.get("icmp_code") or 0,
            rule.get("ethertype") or "",
            rule.get("remote_cidr") or "",
            rule.get("id") or "",
        ),
    )


def describe_ports(rule: Mapping[str, Any]) -> str:
    """Return protocol and ports of a rule in words: "TCP 80", "TCP 8000–8100", "ping (echo request)", "all traffic"."""
    protocol = identify(rule)[2]
    if protocol is None:
        return _("all traffic")
    if rule.get("icmp_type") is not None:
        return _describe_icmp(rule)
    name = str(protocol).upper() if protocol in PROTOCOLS else _("protocol %(number)s") % {"number": protocol}
    first, last = rule.get("port_min"), rule.get("port_max")
    if first is None or (first, last) == (1, MAX_PORT):
        return _("%(protocol)s, all ports") % {"protocol": name} if protocol in PORT_PROTOCOLS else name
    return f"{name} {first}" if first == last else f"{name} {first}–{last}"


def _describe_icmp(rule: Mapping[str, Any]) -> str:
    kind, code = rule["icmp_type"], rule.get("icmp_code")
    if kind == ECHO_REQUESTS.get(str(rule.get("ethertype"))) and code in {None, 0}:
        return _("ping (echo request)")
    if code is None:
        return _("ICMP type %(type)s") % {"type": kind}
    return _("ICMP type %(type)s code %(code)s") % {"type": kind, "code": code}


def describe_remote(rule: Mapping[str, Any], group_names: Mapping[str, str] | None = None) -> str:
    """Return the other side of a rule in words. `group_names` are the names of groups by their ids in the cloud."""
    if group := rule.get("remote_group"):
        name = (group_names or {}).get(str(group), str(group))
        return _("members of security group %(name)s") % {"name": name}
    if is_everywhere(rule.get("remote_cidr")):
        family = str(rule.get("ethertype", "IPv4"))
        return _("every %(family)s address") % {"family": family}
    return str(rule["remote_cidr"])


def describe_rule(rule: Mapping[str, Any], group_names: Mapping[str, str] | None = None) -> str:
    """Return a rule as a sentence."""
    values = {"ports": describe_ports(rule), "remote": describe_remote(rule, group_names)}
    if rule.get("direction") == "egress":
        return _("Allows %(ports)s to %(remote)s.") % values
    return _("Allows %(ports)s from %(remote)s.") % values
