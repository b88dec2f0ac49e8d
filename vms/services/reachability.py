"""Tell in words who can reach a VM: from its interfaces, security groups and floating IPs as the portal last saw them."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from cloudaccounts.placements import Placement
from networks.rules import (
    allows_port,
    describe_ports,
    describe_remote,
    is_everywhere,
    list_warnings,
    sort_rules,
)
from networks.services import find_groups_by_cloud_id

from ..models import VirtualMachine
from .interfaces import Interface, list_interfaces


@dataclass(frozen=True, slots=True)
class Access:
    """The traffic that one rule lets in, as a sentence and in its parts, with the group that has the rule."""

    text: str
    ports: str
    remote: str
    security_group: str


@dataclass(slots=True)
class InterfaceReachability:
    """The reachability of one interface. Without port security nothing is filtered."""

    interface: Interface
    summary: str
    accesses: list[Access] = field(default_factory=list)


@dataclass(slots=True)
class Reachability:
    """The reachability of a VM, or of one port of it, by interface. `warnings` name dangerous rules."""

    interfaces: list[InterfaceReachability]
    warnings: list[str]
    is_known: bool


def describe_reachability(
    vm: VirtualMachine, *, protocol: str = "tcp", port: int | None = None
) -> Reachability:
    """Return who can reach a VM; with a port, who can reach that."""
    interfaces = list_interfaces(vm)
    rules = [rule for one in interfaces for group in one.security_groups for rule in group.rules]
    remote_groups = find_groups_by_cloud_id(
        vm.information_system.tenant,
        Placement(vm.account, vm.region),
        {str(rule["remote_group"]) for rule in rules if rule.get("remote_group")},
    )
    names = {cloud_id: group.name for cloud_id, group in remote_groups.items()}
    found = [_describe(interface, names, protocol, port) for interface in interfaces]
    warnings = [
        warning
        for rule in rules
        if port is None or allows_port(rule, protocol, port)
        for warning in list_warnings(rule)
    ]
    return Reachability(found, list(dict.fromkeys(warnings)), is_known=bool(interfaces))


def _describe(
    interface: Interface, names: dict[str, str], protocol: str, port: int | None
) -> InterfaceReachability:
    if not interface.is_port_security_enabled:
        text = _("Port security is off: everything that reaches the network reaches this interface.")
        return InterfaceReachability(interface, text)
    accesses = []
    has_public_rule = False
    for group in interface.security_groups:
        group_name = group.name or _("a security group of another owner")
        for rule in sort_rules(group.rules):
            if rule.get("direction") != "ingress":
                continue
            if port is not None and not allows_port(rule, protocol, port):
                continue
            if (remote := rule.get("remote_group")) and remote not in names and remote == group.cloud_id:
                names = {**names, remote: group_name}
            values = {"ports": describe_ports(rule), "remote": describe_remote(rule, names)}
            values["group"] = group_name
            # Floating IPs are IPv4 addresses.
            has_public_rule |= (
                rule.get("ethertype") != "IPv6"
                and not rule.get("remote_group")
                and is_everywhere(rule.get("remote_cidr"))
            )
            text = _("%(ports)s from %(remote)s (security group %(group)s).") % values
            accesses.append(
                Access(text[:1].upper() + text[1:], values["ports"], values["remote"], group_name)
            )
    # Equal rules for IPv4 and IPv6 are one sentence.
    accesses = list(dict.fromkeys(accesses))
    return InterfaceReachability(
        interface, _summarize(interface, accesses, port, is_public=has_public_rule), accesses
    )


def _summarize(interface: Interface, accesses: list[Access], port: int | None, *, is_public: bool) -> str:
    if not accesses:
        if port is not None:
            return _("Nobody can reach port %(port)s.") % {"port": port}
        return _("Nobody can reach this interface: its security groups let nothing in.")
    addresses = ", ".join([*(str(one) for one in interface.floating_ips), *interface.other_addresses])
    if addresses and is_public:
        return _("Reachable from outside at %(addresses)s.") % {"addresses": addresses}
    if addresses:
        return _("Reachable from outside at %(addresses)s, but only from the sources below.") % {
            "addresses": addresses
        }
    return _(
        "No floating IP: the VM is reachable only from its own network and from networks that are routed to it."
    )
