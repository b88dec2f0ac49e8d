"""The servers and volumes of a cloud account that the portal does not manage, from the inventory alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast

from cloudaccounts.models import CloudAccount, CloudResource, ResourceLink
from cloudaccounts.services.accounts import get_account, require_managed
from tenants.scoping import Role, Scope, has_staff_permission
from volumepool.models import SpareVolume, Volume

from ..models import VirtualMachine

SERVER, VOLUME = "server", "volume"


@dataclass(frozen=True, slots=True)
class AdoptionRule:
    """A selection of unmanaged servers; all conditions that it has must be met.

    `name` is a pattern in which `*` stands for any text. `project` is the id or the name of the account's project: an
    account lists the servers of one project.
    """

    project: str = ""
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def get_adoptable_account(scope: Scope, account_id: int) -> CloudAccount:
    """Return an account whose unmanaged resources the caller may see and adopt.

    That is an account of the tenant's own, for its administrators, and any account for staff: a shared one holds the
    servers of all tenants side by side. Raises `NotFoundError`, 403 `role_too_low`, `staff_only`, `permission_missing`, 409
    `only_listed`.
    """
    account = get_account(scope, account_id, Role.ADMIN)
    scope.require(Role.ADMIN, VirtualMachine)
    require_managed(account)
    return account


def may_adopt(scope: Scope, account: CloudAccount) -> bool:
    """Return whether `get_adoptable_account` returns this visible account."""
    if not account.is_managed:
        return False
    if not scope.allows(Role.ADMIN, VirtualMachine) or not scope.allows(Role.ADMIN, CloudAccount):
        return False
    return account.tenant_id is not None or has_staff_permission(
        scope.user, "cloudaccounts.change_cloudaccount"
    )


def select_unmanaged(account: CloudAccount) -> QuerySet[CloudResource]:
    """Return the servers and volumes of an account that are in the cloud and that no row manages.

    What a job is creating, and the spares of pools, are managed too. The account must be one of `get_adoptable_account`.
    """
    resources: QuerySet[CloudResource] = CloudResource.objects.present().filter(
        account=account, type__in=[SERVER, VOLUME]
    )
    managed: list[tuple[str, type[models.Model], str, str]] = [
        (SERVER, VirtualMachine, "openstack_id", "portal_vm"),
        (VOLUME, Volume, "volume_id", "portal_volume"),
        (VOLUME, SpareVolume, "volume_id", "portal_spare"),
    ]
    for type_code, model, column, mark in managed:
        rows: QuerySet[Any] = model._default_manager.all()  # noqa: SLF001 - Django's documented API.
        bound = Exists(rows.filter(**{column: OuterRef("cloud_id")}))
        # A row that is not bound yet is that of a creation in flight. The cloud's object carries its id from the beginning.
        unbound = rows.filter(**{column: None}).annotate(row_id=Cast("pk", models.TextField()))
        resources = resources.alias(**{mark: KeyTextTransform(mark, KeyTransform("metadata", "attributes"))})
        creating = Exists(unbound.filter(row_id=OuterRef(mark)))
        resources = resources.exclude(Q(bound, type=type_code) | Q(creating, type=type_code))
    return resources


def select_by_rule(account: CloudAccount, rule: AdoptionRule) -> QuerySet[CloudResource]:
    """Return the unmanaged servers of an account that a rule selects."""
    servers = select_unmanaged(account).filter(type=SERVER)
    if rule.project and rule.project not in list_project_names(account):
        return servers.none()
    if rule.name:
        servers = servers.filter(name__regex=_build_pattern(rule.name))
    if rule.metadata:
        servers = servers.filter(attributes__contains={"metadata": dict(rule.metadata)})
    return servers


def list_project_names(account: CloudAccount) -> list[str]:
    """Return the id and the name of the account's project, as far as they are known: the id is that of the last verification."""
    project_id = account.facts.get("project_id") if isinstance(account.facts, dict) else None
    return [name for name in (project_id, account.project) if isinstance(name, str) and name]


def find_attached_servers(volumes: Iterable[CloudResource]) -> dict[tuple[str, str], str]:
    """Return the server that each of some volumes of one account is attached to, by region and volume id: one query."""
    shown = [volume for volume in volumes if volume.type == VOLUME]
    if not shown:
        return {}
    links = ResourceLink.objects.filter(
        account=shown[0].account_id,
        target_type=VOLUME,
        target_cloud_id__in=[volume.cloud_id for volume in shown],
        source__type=SERVER,
        source__expired_at=None,
    )
    found = links.order_by("-pk").values_list("region", "target_cloud_id", "source__cloud_id")
    return {(region, volume_id): server_id for region, volume_id, server_id in found}


def _build_pattern(name: str) -> str:
    """Return the regular expression of a pattern. Everything but `*` stands for itself, so it is matched in linear time."""
    literals = [
        "".join(char if char.isalnum() or char.isspace() or ord(char) > 127 else f"\\{char}" for char in part)
        for part in name.split("*")
    ]
    return f"^{'.*'.join(literals)}$"
