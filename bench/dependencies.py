"""What depends on a network, among 100,000 resources with 300,000 links: one that carries 100 servers, and one with 10,000.

No cloud is needed: the rows are written directly. Each server has a port, a volume and a VM of one of twenty information
systems; the first network has the first 10,000 servers, the others have 100 each.
"""

from __future__ import annotations

import statistics
from functools import partial

from .figures import Figure, Line, Note, measure
from .stack import Stack

SERVERS = 30_000
LARGE = 10_000
SMALL = 100
TIMES = 9
MILLISECONDS = 200

FILL = """
    CREATE TEMPORARY TABLE number AS
        SELECT n, CASE WHEN n <= %(large)s THEN 0 ELSE 1 + (n - %(large)s - 1) / %(small)s END AS network
        FROM generate_series(1, %(servers)s) AS n;
    INSERT INTO cloudaccounts_cloudresource (id, account_id, region, type, cloud_id, name, status, addresses, attributes, digest,
                                             first_seen_at, last_seen_at, changed_at)
        SELECT gen_random_uuid(), %(account)s, 'RegionOne', type, type || '-' || n, type || ' ' || n, 'ACTIVE', '', '{}', '',
               now(), now(), now()
        FROM (
            SELECT 'server' AS type, n FROM number UNION ALL SELECT 'port', n FROM number
            UNION ALL SELECT 'volume', n FROM number
            UNION ALL SELECT DISTINCT 'network', network FROM number
            UNION ALL SELECT DISTINCT 'subnet', network FROM number
            UNION ALL SELECT 'security_group', n FROM generate_series(1, 9600) AS n
        ) AS wanted;
    INSERT INTO cloudaccounts_resourcelink (source_id, kind, account_id, region, target_type, target_cloud_id)
        SELECT r.id, r.type || '-' || target_type, %(account)s, 'RegionOne', target_type, target
        FROM (
            SELECT 'port-' || n AS source, 'network' AS target_type, 'network-' || network AS target FROM number
            UNION ALL SELECT 'port-' || n, 'subnet', 'subnet-' || network FROM number
            UNION ALL SELECT 'port-' || n, 'server', 'server-' || n FROM number
            UNION ALL SELECT 'server-' || n, 'volume', 'volume-' || n FROM number
            UNION ALL SELECT 'volume-' || n, 'server', 'server-' || n FROM number
            UNION ALL SELECT 'port-' || n, 'security_group', 'security_group-' || 1 + (n + k * 1000) %% 9600
                FROM number, generate_series(1, 5) AS k
            UNION ALL SELECT DISTINCT 'subnet-' || network, 'network', 'network-' || network FROM number
        ) AS wanted JOIN cloudaccounts_cloudresource AS r ON r.cloud_id = wanted.source;
    ANALYZE cloudaccounts_cloudresource, cloudaccounts_resourcelink;
"""


def measure_dependencies(stack: Stack) -> list[Line]:
    """Measure what a page of dependents takes for a small and for a large network, and check what it finds."""
    from django.db import connection

    from cloudaccounts.models import CloudAccount, CloudResource, ResourceLink
    from cloudaccounts.services import list_dependents, list_foundations
    from tenants.models import InformationSystem, Membership, Tenant, User
    from tenants.scoping import Role, Scope
    from vms.models import VirtualMachine

    tenant = Tenant.objects.create(name="Listing", slug="listing")
    user = User.objects.create_user("listing")
    Membership.objects.create(user=user, tenant=tenant, role=Role.ADMIN)
    account = CloudAccount.objects.create(
        name="large", tenant=tenant, access_id="x", auth_url="http://127.0.0.1:9"
    )
    systems = [
        InformationSystem.objects.create(tenant=tenant, name=f"System {number}") for number in range(20)
    ]
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"servers": SERVERS, "large": LARGE, "small": SMALL, "account": account.pk})
    VirtualMachine.objects.bulk_create(
        [
            VirtualMachine(
                information_system=systems[number % 20],
                account=account,
                region="RegionOne",
                name=f"vm-{number}",
                openstack_id=f"server-{number}",
                status="running",
                cpu_cores=1,
                memory_gb=1,
                disk_gb=20,
            )
            for number in range(1, SERVERS + 1)
        ],
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE vms_virtualmachine")  # As autovacuum does after so many rows.
    scope = Scope(user, tenant, Role.ADMIN)
    lines: list[Line] = [
        Note("resources", f"{CloudResource.objects.count():,}", CloudResource.objects.count()),
        Note("links", f"{ResourceLink.objects.count():,}", ResourceLink.objects.count()),
    ]
    for title, cloud_id, servers in (("small", "network-1", SMALL), ("large", "network-0", LARGE)):
        root = CloudResource.objects.select_related("account").get(cloud_id=cloud_id)
        found = list_dependents(scope=scope, root=root)
        totals = {group.kind: group.total for group in found.groups}
        if (found.counts["server"], totals["vm"], totals["tenant"]) != (servers, servers, 1):
            raise RuntimeError(
                f"The {title} network carries {servers} servers; found are {found.counts}, {totals}."
            )
        seconds = statistics.median(
            measure(partial(list_dependents, scope=scope, root=root)) for _ in range(TIMES)
        )
        lines.append(
            Figure(
                f"dependents of a network with {servers:,} servers, p50",
                f"{seconds * 1000:.0f} ms",
                f"{MILLISECONDS} ms",
                seconds * 1000 / MILLISECONDS,
                1.0,
                "at most",
            )
        )
    server = CloudResource.objects.select_related("account").get(cloud_id="server-1")
    seconds = statistics.median(
        measure(partial(list_foundations, scope=scope, root=server)) for _ in range(TIMES)
    )
    lines.append(Note("what one server depends on, p50", f"{seconds * 1000:.1f} ms", seconds))
    return lines
