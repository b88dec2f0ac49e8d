from __future__ import annotations

import pytest

from cloudaccounts import connect
from portal.api.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory
from tests.simulated import SimulatedCloud
from vms.models import VirtualMachine
from vms.sync.adoption import adopt_servers


@pytest.fixture
def cloud(simulator):
    """The simulated cloud, empty and quick."""
    cloud = SimulatedCloud(simulator.url, simulator.auth_url)
    cloud.reset()
    yield cloud
    for opened in connect._opened.values():
        opened.cloud.close()
    connect._opened.clear()


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
def vms_of(cloud, account, member):
    """Makes so many VMs, bound to servers of a status, in the operator's tenant."""
    system = InformationSystemFactory(tenant=member.tenant)

    def make(count, **options):
        ids = cloud.seed(count, **options)
        adopt_servers(account=account, region="RegionOne", system_for=lambda n, name: system)
        cloud.call("DELETE", "requests")
        return list(VirtualMachine.objects.filter(openstack_id__in=ids).order_by("name"))

    return make
