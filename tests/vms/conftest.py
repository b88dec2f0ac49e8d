from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from cloudaccounts import connect
from cloudaccounts.models import CloudResource
from cloudaccounts.sync.resources import sync_resource
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory, list_catalogue_types
from tests.simulated import SimulatedCloud
from tests.working import work
from vms.models import VirtualMachine
from vms.sync.adopted_servers import adopt_servers


@pytest.fixture
def cloud(simulator):
    """The simulated cloud, empty and quick."""
    cloud = SimulatedCloud(simulator.url, simulator.auth_url)
    cloud.reset()
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
    """What the operator's requests are scoped to."""
    return Scope(member.user, member.tenant, Role.OPERATOR)


@pytest.fixture
def account(cloud, transactional_db):
    """The portal's account in the simulated cloud."""
    return cloud.account()


@pytest.fixture
def catalogue(account):
    """What the account offers, as the resource sync has found it."""
    for type_code in list_catalogue_types():
        log = sync_resource(account.pk, type_code)
        assert log.state == "success", log.message
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
    """A client that is signed in, creates VMs with few words, and works jobs off."""

    def __init__(self, member):
        super().__init__()
        self.member = member
        self.scope = Scope(member.user, member.tenant, Role(member.role))
        self.force_authenticate(member.user)

    def new_vm(self, system, **fields):
        """Ask for a VM; the answer."""
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
        """Work an accepted request's job off; the job, which has succeeded."""
        job = self.ended(answer, seconds)
        assert job["status"] == "succeeded", job["outcome"]
        return job

    def ended(self, answer, seconds=20.0):
        """Work an accepted request's job off; the job."""
        assert answer.status_code == 202, str(answer.json())
        work(seconds)
        return self.get(f"/api/v1/jobs/{answer.json()['job']['id']}/").json()


@pytest.fixture
def vms_of(cloud, account, member):
    """Makes so many VMs, bound to servers of a status, in the operator's tenant."""
    system = InformationSystemFactory(tenant=member.tenant)

    def make(count, **options):
        ids = cloud.seed(count, **options)
        adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
        cloud.call("DELETE", "requests")
        return list(VirtualMachine.objects.filter(openstack_id__in=ids).order_by("name"))

    return make
