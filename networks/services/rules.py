"""Check new rules, add them to security groups, and remove them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from cloudaccounts.placements import Placement
from tasks.operations import operation
from tenants.models import Tenant
from tenants.scoping import Role, Scope

from ..commands import AddRulesCommand, RemoveRuleCommand
from ..models import SecurityGroup
from ..rule_templates import build_template_rules
from ..rules import Errors, Rule, build_rule, describe_rule, find_equal, list_warnings
from .group_choices import find_usable_groups
from .locked_groups import GroupChange, lock_group, submit_for_group

TEMPLATE_FIELDS = ("template", "cidr", "group")
# Neutron's own quota is 100 rules of a project as a rule; a group of more is refused before it fills a row.
MAX_RULES = 200


@operation("networks.add_rules", AddRulesCommand)
def add_rules(*, scope: Scope, group_id: UUID, fields: Mapping[str, Any]) -> GroupChange:
    """Submit the addition of a rule, or of the rules of a template, to a security group.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 400 `invalid`, by field; 409 `busy`, `gone`, `limit_reached`. What is
    allowed but dangerous is returned as warnings.
    """
    with transaction.atomic():
        group = lock_group(scope, group_id, Role.ADMIN)
        rules = check_rules(group.tenant, Placement(group.account, group.region), fields, group.rules)
        if len(group.rules) + len(rules) > MAX_RULES:
            message = _("A security group has at most %(most)s rules. Create another one.")
            raise ConflictError("limit_reached", message % {"most": MAX_RULES})
        change = submit_for_group(scope, group, AddRulesCommand(str(group.pk), rules))
        return GroupChange(group, change.job, warn_about(rules, group.rules))


@operation("networks.remove_rule", RemoveRuleCommand)
def remove_rule(*, scope: Scope, group_id: UUID, rule_id: UUID) -> GroupChange:
    """Submit the removal of a rule. Raises `NotFoundError` for the group or the rule, 403 `role_too_low`, 409 `busy`."""
    with transaction.atomic():
        group = lock_group(scope, group_id, Role.ADMIN)
        if str(rule_id) not in {rule.get("id") for rule in group.rules}:
            raise NotFoundError
        return submit_for_group(scope, group, RemoveRuleCommand(str(group.pk), str(rule_id)))


def warn_about(rules: Sequence[Rule], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the warnings about new rules, each once. `others` are the rules that the group has."""
    found = [warning for rule in rules for warning in list_warnings(rule, others)]
    return list(dict.fromkeys(found))


def check_rules(
    tenant: Tenant, place: Placement, fields: Mapping[str, Any], present: Sequence[Mapping[str, Any]] = ()
) -> list[Rule]:
    """Return the new rules of a request, without those of a template that the group has. Raises 400 `invalid`, by field."""
    is_template = bool(fields.get("template"))
    if is_template:
        template = str(fields["template"])
        requests, errors = build_template_rules(
            template, cidr=str(fields.get("cidr") or ""), group=str(fields.get("group") or "")
        )
    else:
        requests, errors = [dict(fields)], {}
    _raise_if(errors)
    rules: list[Rule] = []
    for request in requests:
        rule, errors = _build(tenant, place, request)
        _raise_if(_rename(errors) if is_template else errors)
        if (equal := find_equal(rule, present)) is None:
            rules.append(rule)
        elif not is_template:
            message = _("The security group already has this rule: %(rule)s")
            _raise_if({"direction": [message % {"rule": describe_rule(equal)}]})
    if not rules:
        _raise_if({"template": [_("The security group already has the rules of this template.")]})
    return rules


def _build(tenant: Tenant, place: Placement, request: dict[str, Any]) -> tuple[Rule, Errors]:
    errors: Errors = {}
    remote = request.get("remote_group")
    if remote:
        group = _find_group(tenant, place, str(remote))
        if group is None:
            message = _("Security group not found in this cloud account and region: %(id)s.")
            errors["remote_group"] = [message % {"id": remote}]
        request = {**request, "remote_group": group.cloud_id if group else None}
    rule, found = build_rule(request)
    return rule, {**errors, **found}


def _find_group(tenant: Tenant, place: Placement, key: str) -> SecurityGroup | None:
    """Return a group by its key; the templates take that as text."""
    try:
        pk = UUID(key)
    except ValueError:
        return None
    return find_usable_groups(tenant, place, [pk]).get(pk)


def _rename(errors: Errors) -> Errors:
    """Return the errors of a template's rule by the fields of the template."""
    names = {"remote_cidr": "cidr", "remote_group": "group"}
    return {names.get(name, name): found for name, found in errors.items()}


def _raise_if(errors: Errors) -> None:
    if errors:
        raise InvalidFieldsError(errors)
