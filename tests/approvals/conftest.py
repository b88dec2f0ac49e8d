"""A tenant with a policy, a requester and approvers, and the simulated cloud."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from approvals.models import ApprovalPolicy, PolicyApprover
from tenants.models import Membership, User
from tenants.scoping import Role
from tests.factories import MembershipFactory, UserFactory, VirtualMachineFactory
from tests.vms.conftest import (  # noqa: F401 - fixtures.
    AdminClient,
    account,
    admin,
    catalogue,
    cloud,
    system,
)
from vms.models import VMStatus


def sign_in(user: User) -> APIClient:
    """Return a client of the API for a user."""
    client = APIClient()
    client.force_authenticate(user)
    return client


def add_policy(tenant, **columns) -> ApprovalPolicy:
    """Add a policy that holds for new VMs and power actions, with one level of administrators, unless told otherwise."""
    users = {level: columns.pop(f"level{level}_users", []) for level in (1, 2)}
    values = {"name": "Two people", "commands": ["vms.create", "vms.stop", "vms.start"], **columns}
    policy = ApprovalPolicy.objects.create(tenant=tenant, **values)
    for level, names in users.items():
        for user in names:
            PolicyApprover.objects.create(policy=policy, tenant=tenant, level=level, user=user)
    return policy


@pytest.fixture
def tenant(admin):  # noqa: F811
    """The requester's tenant."""
    return admin.member.tenant


@pytest.fixture
def policy(tenant):
    """The policy of the tenant."""
    return add_policy(tenant)


@pytest.fixture
def add_approver(tenant):
    """Return a function that adds a member of the tenant, as a client of the API."""

    def add(role: Role = Role.ADMIN) -> APIClient:
        member: Membership = MembershipFactory(tenant=tenant, role=role)
        client = sign_in(member.user)
        client.member = member
        return client

    return add


@pytest.fixture
def approver(add_approver):
    """Another administrator of the tenant."""
    return add_approver()


@pytest.fixture
def staff(db):
    """A platform administrator."""
    return sign_in(UserFactory(is_staff=True, is_superuser=True))


@pytest.fixture
def vm(system, account):  # noqa: F811
    """A running VM of the tenant."""
    return VirtualMachineFactory(information_system=system, account=account, status=VMStatus.RUNNING)
