"""Changes of shared resources are seen by those who were granted the resource, without comparing all others with the grants."""

from __future__ import annotations

import json

import pytest

from cloudaccounts.models import CatalogueGrant, CloudResource, ResourceChange
from tenants.scoping import Role, Scope
from tests.factories import CloudAccountFactory, CloudResourceFactory, MembershipFactory, TenantFactory

pytestmark = pytest.mark.django_db

PORTS = 60


@pytest.fixture
def shared():
    return CloudAccountFactory(tenant=None, grants=False)


def change(resource):
    return ResourceChange.objects.create(resource=resource, fields={"name": ["old", "new"]})


def list_nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from list_nodes(child)


def test_a_tenant_sees_the_changes_of_what_it_owns_and_was_granted(shared):
    tenant, other = TenantFactory(), TenantFactory()
    own = change(CloudResourceFactory(account=CloudAccountFactory(tenant=tenant), type="port"))
    change(CloudResourceFactory(account=CloudAccountFactory(tenant=other), type="port"))
    granted = change(CloudResourceFactory(account=shared, type="network", name="internal-1"))
    hidden = change(CloudResourceFactory(account=shared, type="network", name="secret-1"))
    change(CloudResourceFactory(account=shared, type="port", name="internal-port"))
    snapshot = CloudResourceFactory(
        account=shared, type="image", name="internal-2", attributes={"is_snapshot": True}
    )
    change(snapshot)
    for kind in ("network", "image"):
        CatalogueGrant.objects.create(tenant=tenant, account=shared, kind=kind, match="internal-*")
    CatalogueGrant.objects.create(tenant=other, account=shared, kind="network", match="secret-*")
    member = MembershipFactory(tenant=tenant, role=Role.VIEWER).user

    for scope in (Scope(member, tenant, Role.VIEWER), Scope(member, None, None)):
        assert set(ResourceChange.objects.within(scope)) == {own, granted}

    MembershipFactory(tenant=other, user=member)
    assert hidden in ResourceChange.objects.visible_to(member)
    assert set(CloudResource.objects.for_tenant(tenant)) == {own.resource, granted.resource}


@pytest.mark.parametrize("rows", ["resources", "changes"])
def test_only_types_that_can_be_granted_are_compared_with_grants(shared, rows):
    tenant = TenantFactory()
    CatalogueGrant.objects.create(tenant=tenant, account=shared, kind="network", match="internal-*")
    change(CloudResourceFactory(account=shared, type="network", name="internal-1"))
    for _ in range(PORTS):
        change(CloudResourceFactory(account=shared, type="port"))
    queryset = CloudResource.objects if rows == "resources" else ResourceChange.objects

    plan = json.loads(queryset.for_tenant(tenant).explain(format="json", analyze=True))[0]["Plan"]

    scans = [node for node in list_nodes(plan) if node.get("Relation Name") == CatalogueGrant._meta.db_table]
    assert sum(node["Actual Loops"] for node in scans) == 1
