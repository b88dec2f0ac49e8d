"""An account's inventory as syncs have found it, for the tests of adoption, without a cloud."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from cloudaccounts.models import CloudResource, ResourceLink
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    CloudResourceFactory,
    InformationSystemFactory,
    MembershipFactory,
    UserFactory,
    create_catalogue,
)

FLAVOR = {"flavor": "2c-4g-40g", "vcpus": 2, "memory_mb": 4096, "disk_gb": 40}


def create_inventory(tenant=None, **columns):
    """Return an account with the catalogue of flavors and images; shared without a tenant."""
    account = CloudAccountFactory(tenant=tenant, **columns)
    create_catalogue(account)
    return account


def found_server(account, name="shop-1", *, status="ACTIVE", volumes=(), image=True, **attributes) -> Any:
    """Return a server of the inventory, with links to its image and to its volumes."""
    server = CloudResourceFactory(
        account=account,
        type="server",
        name=name,
        status=status,
        addresses="10.0.0.5",
        attributes={**FLAVOR, "task": "", "zone": "nova", "metadata": {}, "tags": [], **attributes},
    )
    for volume in volumes:
        link(server, "volume", volume.cloud_id)
    if image:
        link(server, "image", CloudResource.objects.get(account=account, type="image").cloud_id)
    return server


def found_volume(account, name="data", *, size_gb=10, status="available", **attributes) -> Any:
    """Return a volume of the inventory."""
    return CloudResourceFactory(
        account=account,
        type="volume",
        name=name,
        status=status,
        attributes={"size_gb": size_gb, "volume_type": "fast", "metadata": {}, **attributes},
    )


def link(source, target_type, cloud_id) -> None:
    """Link a resource with another one, as syncs do."""
    ResourceLink.objects.create(
        source=source,
        kind=f"{source.type}-{target_type}",
        account=source.account,
        region=source.region,
        target_type=target_type,
        target_cloud_id=cloud_id,
    )


def client_of(user, tenant=None) -> APIClient:
    """Return the API's client of a user, who acts in a tenant."""
    client = APIClient(headers={"X-Tenant": tenant.slug} if tenant else {})
    client.force_authenticate(user)
    return client


def staff() -> APIClient:
    """Return the client of staff with every permission."""
    return client_of(UserFactory(is_staff=True, is_superuser=True))


def adopt(client, account, system, **body):
    """Send a request to adopt, and return the response."""
    path = f"/api/v1/cloud-accounts/{account.pk}/adopt/"
    return client.post(path, {"information_system": str(system.pk), **body}, format="json")


def refusals(response) -> dict[str, str]:
    """Return the code of each refusal of a response, by the name of the object."""
    results = response.json()["results"]
    return {one["name"] or one["id"]: one["refusal"]["code"] for one in results if one["refusal"]}


@pytest.fixture
def member():
    """An administrator of a tenant with an account of its own."""
    return MembershipFactory(role=Role.ADMIN)


@pytest.fixture
def account(member):
    return create_inventory(member.tenant)


@pytest.fixture
def system(member):
    return InformationSystemFactory(tenant=member.tenant)


@pytest.fixture
def client(member):
    return client_of(member.user)
