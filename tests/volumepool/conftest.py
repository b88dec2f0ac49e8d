"""A pool in the simulated cloud, and tenants that claim from it."""

from __future__ import annotations

import pytest

from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.vms.conftest import account, cloud
from tests.working import work
from volumepool.models import SpareVolume, Volume, VolumePool
from volumepool.services import ClaimRequest, backfill, claim_volumes

__all__ = ["account", "cloud"]


@pytest.fixture
def pool(account):
    """Create a pool of three blank volumes."""
    return VolumePool.objects.create(
        account=account, region="RegionOne", type="debian", size_gb=2, desired=3, max_in_flight=5
    )


@pytest.fixture
def full(pool):
    """Fill the pool."""
    backfill(pool.pk)
    work()
    assert SpareVolume.objects.claimable().count() == 3
    return pool


@pytest.fixture
def scope(account):
    """An administrator of a tenant."""
    member = MembershipFactory(role=Role.ADMIN)
    return Scope(member.user, member.tenant, Role.ADMIN)


@pytest.fixture
def system(scope):
    """The tenant's information system."""
    return InformationSystemFactory(tenant=scope.tenant)


def claimer(scope, system):
    """Return a function that claims for one tenant: `request_claim(2)`, `request_claim(1, volume_ids=[...])`."""

    def claim(count=1, type_code="debian", **more):
        return claim_volumes(
            scope=scope,
            request=ClaimRequest(information_system=system.pk, type=type_code, count=count, **more),
        )

    return claim


@pytest.fixture
def request_claim(scope, system):
    """Claims of the tenant."""
    return claimer(scope, system)


@pytest.fixture
def others(account):
    """Return claims of several tenants, because the quota's lock serializes those of one tenant."""

    def make(count):
        members = [MembershipFactory(role=Role.ADMIN) for _ in range(count)]
        return [
            claimer(
                Scope(member.user, member.tenant, Role.ADMIN), InformationSystemFactory(tenant=member.tenant)
            )
            for member in members
        ]

    return make


class Cinder:
    """Return the volumes of the simulated Cinder by id."""

    def __init__(self, cloud):
        self.cloud = cloud

    def volumes(self):
        """Return the volumes with the portal's metadata."""
        objects = self.cloud.call("GET", "objects")["volumes"]
        return {one["id"]: one for one in objects if any(key.startswith("portal") for key in one["metadata"])}

    def is_consistent(self):
        """Return whether each volume of the portal has exactly one row, and each row a volume."""
        rows = [
            *SpareVolume.objects.values_list("volume_id", flat=True),
            *Volume.objects.values_list("volume_id", flat=True),
        ]
        return sorted(map(str, rows)) == sorted(self.volumes())


@pytest.fixture
def cinder(cloud):
    return Cinder(cloud)
