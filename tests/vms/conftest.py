from __future__ import annotations

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from cloudaccounts import connect
from cloudaccounts.models import CloudResource
from tenants.scoping import Role, Scope
from tests.catalogue import sync_catalogue
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.simulated import SimulatedCloud
from tests.working import work
from vms.models import VirtualMachine
from vms.sync.adopted_servers import adopt_servers


@pytest.fixture
def cloud(simulator):
    """The simulated cloud, empty and quick."""
    cloud = SimulatedCloud(simulator.url, simulator.auth_url)
    cloud.reset()
    # The reset has ended the tokens that the portal keeps: a first request would be refused and sent twice.
    cache.clear()
    yield cloud
    for opened in connect._open_clouds.values():
        opened.cloud.close()
    connect._open_clouds.clear()


@pytest.fixture
def member(transactional_db):
    """An operator of a tenant."""
    return MembershipFactory(role=Role.OPERATOR)


@pytest.fixture
def scope(member):
    """Return the scope of the operator's requests."""
    return Scope(member.user, member.tenant, Role.OPERATOR)


@pytest.fixture
def account(cloud, transactional_db):
    """The portal's account in the simulated cloud."""
    return cloud.account()


@pytest.fixture
def catalogue(account):
    """Sync the resources of the account that VMs are made of, and return them."""
    sync_catalogue(account)
    return CloudResource.objects.filter(account=account)


@pytest.fixture
def admin(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


@pytest.fixture
def system(admin):
    """An information system of the administrator's tenant."""
    return InformationSystemFactory(tenant=admin.member.tenant)


class AdminClient(APIClient):
    """A signed-in client that creates VMs with defaults and runs jobs to their end."""

    def __init__(self, member):
        super().__init__()
        self.member = member
        self.scope = Scope(member.user, member.tenant, Role(member.role))
        self.force_authenticate(member.user)

    def new_vm(self, system, **fields):
        """Request a VM and return the response."""
        params = {
            "information_system": str(system.pk),
            "name": "shop-1",
            "cpu_cores": 2,
            "memory_gb": 4,
            "disk_gb": 40,
            "os_type": "ubuntu",
            **fields,
        }
        params = {name: value for name, value in params.items() if value is not None}
        return self.post("/api/v1/vms/", params, format="json")

    def done(self, answer, seconds=20.0):
        """Run the job of an accepted request to its end, and return it; it has to succeed."""
        job = self.ended(answer, seconds)
        assert job["status"] == "succeeded", job["outcome"]
        return job

    def ended(self, answer, seconds=20.0):
        """Run the job of an accepted request to its end, and return it."""
        assert answer.status_code == 202, str(answer.json())
        work(seconds)
        return self.get(f"/api/v1/jobs/{answer.json()['job']['id']}/").json()


@pytest.fixture
def vms_of(cloud, account, member):
    """Return a function that creates VMs of the operator's tenant, bound to servers of a status."""
    system = InformationSystemFactory(tenant=member.tenant)

    def make(count, **options):
        ids = cloud.seed(count, **options)
        adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
        cloud.call("DELETE", "requests")
        return list(VirtualMachine.objects.filter(openstack_id__in=ids).order_by("name"))

    return make
