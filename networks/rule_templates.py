"""Templates of rules: what most groups begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .rules import ETHERTYPES, Errors

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RuleTemplate:
    """Rules under a name. `needs` is the field that the person fills in: "cidr", "group", or ""."""

    label: str | Promise
    description: str | Promise
    ports: tuple[int, ...]
    needs: str = ""


TEMPLATES: dict[str, RuleTemplate] = {
    "web": RuleTemplate(
        _("Web server"), _("HTTP and HTTPS (TCP 80 and 443) from every address, IPv4 and IPv6."), (80, 443)
    ),
    "ssh": RuleTemplate(
        _("SSH from the office"), _("SSH (TCP 22) from the address range of your office."), (22,), "cidr"
    ),
    "database": RuleTemplate(
        _("Database for a group"),
        _("PostgreSQL and MySQL (TCP 5432 and 3306) from the members of a security group."),
        (5432, 3306),
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
    rules = []
    for port in template.ports:
        common = {"direction": "ingress", "protocol": "tcp", "port_min": port, "port_max": port}
        if template.needs == "cidr":
            rules.append({**common, "remote_cidr": cidr})
            continue
        remote = {"remote_group": group} if template.needs == "group" else {}
        rules += [{**common, **remote, "ethertype": ethertype} for ethertype in ETHERTYPES]
    return rules, {}
