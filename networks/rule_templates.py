"""Templates of rules: what most groups begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .rules import ECHO_REQUESTS, ETHERTYPES, Errors

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleTemplate:
    """Rules under a name. `needs` is the field that the person fills in: "cidr", "group", or "".

    `traffic` has the fields of protocol and ports of each rule, by address family.
    """

    label: str | Promise
    description: str | Promise
    traffic: Mapping[str, Sequence[Fields]]
    needs: str = ""


def _tcp(*ports: int) -> dict[str, list[Fields]]:
    rules = [{"protocol": "tcp", "port_min": port, "port_max": port} for port in ports]
    return dict.fromkeys(ETHERTYPES, rules)


TEMPLATES: dict[str, RuleTemplate] = {
    "web": RuleTemplate(
        _("Web server"),
        _("HTTP and HTTPS (TCP 80 and 443) from every address, IPv4 and IPv6."),
        _tcp(80, 443),
    ),
    "ssh": RuleTemplate(
        _("SSH from the office"), _("SSH (TCP 22) from the address range of your office."), _tcp(22), "cidr"
    ),
    "ping": RuleTemplate(
        _("Ping"),
        _("Echo requests (ICMP) from every address, IPv4 and IPv6."),
        {family: [{"protocol": "icmp", "icmp_type": kind}] for family, kind in ECHO_REQUESTS.items()},
    ),
    "database": RuleTemplate(
        _("Database for a group"),
        _("PostgreSQL and MySQL (TCP 5432 and 3306) from the members of a security group."),
        _tcp(5432, 3306),
        "group",
    ),
}


def build_template_rules(name: str, *, cidr: str, group: str) -> tuple[list[Fields], Errors]:
    """Return the fields of a template's rules, and the errors by field. `group` is the id of a group, "" for none."""
    template = TEMPLATES[name]
    given: Mapping[str, str] = {"cidr": cidr, "group": group}
    errors: Errors = {}
    for field, value in given.items():
        if template.needs == field and not value:
            errors[field] = [_("This field is required.")]
        elif template.needs != field and value:
            errors[field] = [_("The template '%(name)s' does not take this field.") % {"name": name}]
    if errors:
        return [], errors
    if template.needs == "cidr":
        # The range decides on the family.
        return [
            {"direction": "ingress", **fields, "remote_cidr": cidr} for fields in template.traffic["IPv4"]
        ], {}
    remote = {"remote_group": group} if template.needs == "group" else {}
    return [
        {"direction": "ingress", "ethertype": ethertype, **fields, **remote}
        for ethertype, rules in template.traffic.items()
        for fields in rules
    ], {}
