"""What depends on a resource, up to services and tenants, and what it depends on itself."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection

from tenants.scoping import Scope

from ..dependents import DependentGroup, find_dependents
from ..models import CloudResource
from ..queries import WALK_DEPENDENCIES

# Of two linked resources, that of the higher rank depends on the other: without its network there is no port.
RANKS = {
    code: rank
    for rank, codes in enumerate(
        (
            ("zone", "keypair", "flavor", "volume_type"),
            ("network",),
            ("subnet", "security_group", "router"),
            ("image", "volume"),
            ("snapshot",),
            ("port",),
            ("floating_ip",),
            ("server",),
            ("load_balancer", "database", "cache", "share", "server_group"),
            ("dns_zone",),
        )
    )
    for code in codes
}
# More are neither counted nor named; the answer says so.
MAX_RESOURCES = 50_000
MAX_NAMED_RESOURCES = 200


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Resources that depend on a resource, or that it depends on: their number by type, and the first of them.

    `groups` has what of the rooms above depends on it. `truncated` when there were too many to count.
    """

    counts: dict[str, int]
    resources: list[CloudResource]
    groups: list[DependentGroup] = field(default_factory=list)
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A resource that the walk has reached, sortable as it is shown."""

    type: str
    name: str
    pk: UUID
    cloud_id: str


def list_dependents(*, scope: Scope, root: CloudResource) -> Dependencies:
    """List what depends on a resource: resources, VMs, services, information systems, tenants.

    The walk also goes through resources that the scope does not see, as a shared account has those of all tenants; shown is
    what the scope may see.
    """
    found = _walk(root, sign=1)
    server_ids = [one.cloud_id for one in found if one.type == "server"]
    if root.type == "server":
        server_ids.append(root.cloud_id)
    groups = find_dependents(scope, root.account, root.region, server_ids)
    return _show(scope, root, found, groups)


def list_foundations(*, scope: Scope, root: CloudResource) -> Dependencies:
    """List the resources on which a resource depends, as far as the scope may see them."""
    return _show(scope, root, _walk(root, sign=-1), [])


def _walk(root: CloudResource, *, sign: int) -> list[_Found]:
    with connection.cursor() as cursor:
        cursor.execute(
            WALK_DEPENDENCIES,
            {"root": root.pk, "sign": sign, "ranks": json.dumps(RANKS), "most": MAX_RESOURCES + 1},
        )
        return [_Found(type_code, name, pk, cloud_id) for pk, type_code, cloud_id, name in cursor.fetchall()]


def _show(
    scope: Scope, root: CloudResource, found: list[_Found], groups: list[DependentGroup]
) -> Dependencies:
    truncated = len(found) > MAX_RESOURCES
    found = found[:MAX_RESOURCES]
    if root.account.tenant_id is None:
        # Of a shared account, the scope may see a part. Whoever sees a resource of another account sees all of it.
        visible = CloudResource.objects.within(scope).filter(pk__in=[one.pk for one in found])
        shown = set(visible.order_by().values_list("pk", flat=True))
        found = [one for one in found if one.pk in shown]
    counts = Counter(one.type for one in found)
    first = heapq.nsmallest(MAX_NAMED_RESOURCES, found, key=lambda one: (one.type, one.name, one.pk))
    resources = CloudResource.objects.select_related("account").in_bulk([one.pk for one in first])
    named = [resources[one.pk] for one in first if one.pk in resources]
    return Dependencies(dict(sorted(counts.items())), named, groups, truncated)
