"""Find the security groups of a tenant in one account and region: by their keys, and by their ids in the cloud."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from cloudaccounts.placements import Placement
from tenants.models import Tenant

from ..models import CloudRowQuerySet, SecurityGroup


def find_usable_groups(tenant: Tenant, place: Placement, ids: Iterable[UUID]) -> dict[UUID, SecurityGroup]:
    """Return those of some groups that VMs and rules of a place may name, by their keys."""
    return {group.pk: group for group in _list_groups(tenant, place).usable().filter(pk__in=list(ids))}


def find_groups_by_cloud_id(
    tenant: Tenant, place: Placement, cloud_ids: Iterable[str]
) -> dict[str, SecurityGroup]:
    """Return those of some groups of the cloud that belong to a tenant, by their ids in the cloud. No query for no ids."""
    if not (wanted := list(cloud_ids)):
        return {}
    found = _list_groups(tenant, place).filter(cloud_id__in=wanted)
    return {str(group.cloud_id): group for group in found}


def _list_groups(tenant: Tenant, place: Placement) -> CloudRowQuerySet:
    groups: CloudRowQuerySet = SecurityGroup.objects.for_tenant(tenant)
    return groups.filter(account=place.account, region=place.region)
