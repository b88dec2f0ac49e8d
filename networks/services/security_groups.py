"""Create, copy, change and delete security groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from cloudaccounts.placements import Placement, require_placement
from tasks import engine
from tasks.operations import operation
from tenants.models import Tenant
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, require_tenant

from ..commands import ChangeSecurityGroupCommand, CreateSecurityGroupCommand, RemoveSecurityGroupCommand
from ..commands.security_groups import OWN_GROUP
from ..models import SecurityGroup
from ..models.security_groups import DEFAULT_NAME
from ..rules import Rule
from .locked_groups import GroupChange, lock_group, submit_for_group
from .rules import TEMPLATE_FIELDS, check_rules, warn_about

IS_DEFAULT = _(
    "The security group 'default' belongs to the cloud: it can be neither renamed nor deleted. Change its rules instead."
)


@operation("networks.create_security_group", CreateSecurityGroupCommand)
def create_security_group(*, scope: Scope, params: Mapping[str, Any]) -> GroupChange:
    """Record a new security group, with the rules of a template if one is named, and the job that creates it.

    Raises 403 `role_too_low`; 400 `tenant_required`, `invalid`, by field; 409 `limit_reached`.
    """
    scope.require(Role.ADMIN, SecurityGroup)
    tenant = require_tenant(scope)
    place = require_placement(tenant, params.get("account"), params.get("region", ""))
    rules: list[Rule] = []
    if params.get("template"):
        rules = check_rules(tenant, place, {name: params.get(name) for name in TEMPLATE_FIELDS})
    group = _build_group(tenant, place, params["name"], params.get("description", ""))
    with transaction.atomic():
        change = _submit_creation(scope, group, rules)
        return GroupChange(group, change.job, warn_about(rules, []))


@operation("networks.copy_security_group", CreateSecurityGroupCommand)
def copy_security_group(*, scope: Scope, group_id: UUID, name: str, description: str | None) -> GroupChange:
    """Record a copy of a group in its account and region, with the same rules.

    A rule that names the group itself names the copy. Raises `NotFoundError`, 403, 400 by field, 409 `gone`, `busy`, `limit_reached`.
    """
    with transaction.atomic():
        source = lock_group(scope, group_id, Role.ADMIN)
        # A group that is being created or changed does not have all of its rules yet.
        if (holder := engine.lock_holder(source.lock_key)) is not None:
            raise engine.BusyError(holder)
        text = source.description if description is None else description
        place = Placement(source.account, source.region)
        group = _build_group(source.tenant, place, name, text)
        rules = [
            {
                **rule,
                "id": None,
                "remote_group": OWN_GROUP
                if rule.get("remote_group") == source.cloud_id
                else rule.get("remote_group"),
            }
            for rule in source.rules
        ]
        return _submit_creation(scope, group, rules, exact=True)


def _build_group(tenant: Tenant, place: Placement, name: str, description: str) -> SecurityGroup:
    if name.casefold() == DEFAULT_NAME:
        message = _("The name 'default' belongs to the cloud's own group. Choose another one.")
        raise InvalidFieldsError({"name": [message]})
    return SecurityGroup(
        tenant=tenant, account=place.account, region=place.region, name=name, description=description
    )


def _submit_creation(
    scope: Scope, group: SecurityGroup, rules: list[Rule], *, exact: bool = False
) -> GroupChange:
    require_row_limit(group.tenant, "security_groups", SecurityGroup.objects.for_tenant(group.tenant))
    group.save(force_insert=True)
    return submit_for_group(scope, group, CreateSecurityGroupCommand(str(group.pk), rules, exact))


@operation("networks.change_security_group", ChangeSecurityGroupCommand)
def change_security_group(*, scope: Scope, group_id: UUID, fields: Mapping[str, Any]) -> GroupChange:
    """Submit a new name or description. Raises `NotFoundError`, 403, 400 by field, 409 `busy`, `gone`, `default_group`."""
    with transaction.atomic():
        group = lock_group(scope, group_id, Role.ADMIN)
        name = fields.get("name", group.name)
        description = fields.get("description", group.description)
        if (name, description) == (group.name, group.description):
            return GroupChange(group, None)
        if group.is_default:
            raise ConflictError("default_group", IS_DEFAULT)
        _build_group(group.tenant, Placement(group.account, group.region), name, description)
        return submit_for_group(scope, group, ChangeSecurityGroupCommand(str(group.pk), name, description))


@operation("networks.remove_security_group", RemoveSecurityGroupCommand)
def remove_security_group(*, scope: Scope, group_id: UUID) -> GroupChange:
    """Submit the deletion of a group. Raises `NotFoundError`, 403 `role_too_low`, 409 `busy`, `default_group`, `in_use`."""
    with transaction.atomic():
        group = lock_group(scope, group_id, Role.ADMIN, may_be_gone=True)
        if group.is_default:
            raise ConflictError("default_group", IS_DEFAULT)
        naming = list_groups_naming(group)
        if naming:
            message = _("Rules of other security groups name this one: %(names)s. Remove those rules first.")
            raise ConflictError("in_use", message % {"names": ", ".join(naming)})
        return submit_for_group(scope, group, RemoveSecurityGroupCommand(str(group.pk)))


def list_groups_naming(group: SecurityGroup) -> list[str]:
    """Return the names of the tenant's other groups whose rules name a group: the cloud would delete these rules with it."""
    if group.cloud_id is None:
        return []
    naming = (
        SecurityGroup.objects.for_tenant(group.tenant)
        .filter(account=group.account_id, region=group.region)
        .filter(rules__contains=[{"remote_group": group.cloud_id}])
        .exclude(pk=group.pk)
        .order_by("name")
    )
    return list(naming.values_list("name", flat=True)[:10])
