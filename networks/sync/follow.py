"""Rows follow the resources of a complete listing: what was changed, attached or deleted in the cloud by others.

In a tenant's own account, groups and addresses without a row get one, so that they can be used. In a shared account an
object without a row belongs to nobody: the portal cannot know whose it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cloudaccounts.models import CloudAccount, CloudResource, ResourceLink
from tasks.models import EntityLock

from ..cloud_columns import floating_ip_columns, security_group_columns
from ..markers import build_marker
from ..models import CloudRow, FloatingIp, RowStatus, SecurityGroup, ServerGroup

Columns = Callable[[CloudResource], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Listing:
    """The resources of a type after a complete listing of a region, by id, and how columns are read from one."""

    account_id: int
    region: str
    began: datetime
    resources: Mapping[str, CloudResource]
    read: Columns
    # The tenant of each VM that `read` may return: an address never names a VM of another tenant.
    vm_tenants: Mapping[Any, Any] = field(default_factory=dict)


def follow_security_groups(account_id: int, region: str, began: datetime) -> None:
    """Write changed names and rules, mark deleted groups, and add the groups of a tenant's own account."""
    resources = _list_resources("security_group", account_id, region)

    def read(found: CloudResource) -> dict[str, Any]:
        return security_group_columns(found.name or found.cloud_id, found.attributes)

    listing = _Listing(account_id, region, began, resources, read)
    _follow(SecurityGroup, listing)
    if tenant_id := _get_owner(account_id):
        _adopt(SecurityGroup, listing, {"tenant_id": tenant_id})


def follow_floating_ips(account_id: int, region: str, began: datetime) -> None:
    """Write where each address leads now, mark those given back, and add the addresses of a tenant's own account."""
    resources = _list_resources("floating_ip", account_id, region)
    links = _list_links(resources.values())
    vms = _find_vms(account_id, region, [target for found in links.values() for _type, target in found])
    networks = dict(
        CloudResource.objects.filter(account=account_id, region=region, type="network").values_list(
            "cloud_id", "name"
        )
    )

    def read(found: CloudResource) -> dict[str, Any]:
        columns = floating_ip_columns(found.name, found.attributes, links[found.pk])
        columns["vm_id"] = vms.get(columns["server_id"], (None, None))[0]
        columns["network_name"] = networks.get(columns["network_id"], "")[:255]
        return columns

    vm_tenants = dict(vms.values())
    listing = _Listing(account_id, region, began, resources, read, vm_tenants)
    _follow(FloatingIp, listing)
    if tenant_id := _get_owner(account_id):
        _adopt(FloatingIp, listing, {"tenant_id": tenant_id})


def follow_server_groups(account_id: int, region: str, began: datetime) -> None:
    """Mark deleted server groups. Those that the portal has not made have no information system, so none is added."""
    resources = _list_resources("server_group", account_id, region)
    _follow(ServerGroup, _Listing(account_id, region, began, resources, lambda _found: {}))


def _list_resources(type_code: str, account_id: int, region: str) -> dict[str, CloudResource]:
    found = CloudResource.objects.filter(account=account_id, region=region, type=type_code)
    return {resource.cloud_id: resource for resource in found}


def _list_links(resources: Iterable[CloudResource]) -> Mapping[Any, list[tuple[str, str]]]:
    links: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    rows = ResourceLink.objects.filter(source__in=[found.pk for found in resources])
    for source, target_type, target in rows.values_list("source", "target_type", "target_cloud_id"):
        links[source].append((target_type, target))
    return links


def _find_vms(account_id: int, region: str, server_ids: list[str]) -> dict[str, tuple[Any, Any]]:
    """Return the key and the tenant of the VM of each server."""
    vms = apps.get_model("vms", "VirtualMachine").objects
    found = vms.filter(account=account_id, region=region, openstack_id__in=server_ids)
    rows = found.values_list("openstack_id", "pk", "information_system__tenant")
    return {server_id: (pk, tenant) for server_id, pk, tenant in rows}


def _get_owner(account_id: int) -> Any:
    return CloudAccount.objects.values_list("tenant_id", flat=True).get(pk=account_id)


def _follow(model: type[Any], listing: _Listing) -> None:
    """Write the rows that differ from their resources; leave out those that a job holds, or that were written since."""
    held = EntityLock.objects.filter(key__startswith=f"{model.lock_name}:").values_list("key", flat=True)
    busy = {key.partition(":")[2] for key in held}
    rows = (
        model.objects.filter(
            account=listing.account_id,
            region=listing.region,
            cloud_id__isnull=False,
            written_at__lt=listing.began,
        )
        .exclude(pk__in=busy)
        .select_for_update(of=("self",), skip_locked=True)
    )
    changed: list[CloudRow] = []
    names: set[str] = set()
    for row in rows:
        found = listing.resources.get(row.cloud_id)
        if found is None:
            continue  # The listing is older than the object, or it was never listed.
        columns = _columns_now(row, found, listing)
        different = {name for name, value in columns.items() if getattr(row, name) != value}
        if different:
            for name in different:
                setattr(row, name, columns[name])
            row.written_at = listing.began
            changed.append(row)
            names |= different
    if changed:
        fields = [name.removesuffix("_id") if name == "vm_id" else name for name in sorted(names)]
        model.objects.bulk_update(changed, [*fields, "written_at"], batch_size=500)


def _columns_now(row: Any, found: CloudResource, listing: _Listing) -> dict[str, Any]:
    """Return the columns that a row is to have by its resource. One complete listing without the object proves nothing."""
    if found.expired_at is not None:
        gone: dict[str, Any] = {"status": RowStatus.GONE}
        if isinstance(row, FloatingIp):
            gone |= {
                "port_id": "",
                "server_id": "",
                "fixed_address": "",
                "vm_id": None,
                "unattached_since": row.unattached_since or timezone.now(),
            }
        return gone
    if found.missing_count:
        return {}
    columns = {"status": RowStatus.ACTIVE, **listing.read(found)}
    if isinstance(row, FloatingIp):
        if listing.vm_tenants.get(columns["vm_id"]) != row.tenant_id:
            columns["vm_id"] = None
        since = None if columns["port_id"] else row.unattached_since or timezone.now()
        columns["unattached_since"] = since
    return columns


def _adopt(model: type[Any], listing: _Listing, owner: Mapping[str, Any]) -> None:
    """Add rows for objects of a tenant's own account that have none.

    A job that is creating an object has written its row, and binds that at its end; the object carries the row's marker, so
    it is left out here.
    """
    known = set(
        model.objects.filter(
            account=listing.account_id, region=listing.region, cloud_id__isnull=False
        ).values_list("cloud_id", flat=True)
    )
    creating = {
        build_marker(model.lock_name, pk)
        for pk in model.objects.filter(
            account=listing.account_id, region=listing.region, cloud_id=None
        ).values_list("pk", flat=True)
    }
    new = []
    for cloud_id, found in listing.resources.items():
        if cloud_id in known or found.expired_at is not None or found.missing_count:
            continue
        if found.attributes.get("marker") in creating:
            continue
        columns = {"status": RowStatus.ACTIVE, **listing.read(found), **owner}
        if model is FloatingIp:
            if listing.vm_tenants.get(columns["vm_id"]) != owner["tenant_id"]:
                columns["vm_id"] = None
            taken = parse_datetime(str(found.attributes.get("created_at") or "")) or found.first_seen_at
            columns["taken_at"] = taken
            columns["unattached_since"] = None if columns["port_id"] else taken
        new.append(model(account_id=listing.account_id, region=listing.region, cloud_id=cloud_id, **columns))
    model.objects.bulk_create(new, ignore_conflicts=True, batch_size=500)
