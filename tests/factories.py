"""Rows for tests, each with just what it needs."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from cloudaccounts.models import CloudAccount
from portal.api.scoping import Role
from tenants.models import InformationSystem, Membership, Tenant, User
from vms.models import VirtualMachine, VMStatus


class UserFactory(DjangoModelFactory[User]):
    """A user whose password is "demo"."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    password = factory.django.Password("demo")


class TenantFactory(DjangoModelFactory[Tenant]):
    """A tenant without quotas."""

    class Meta:
        model = Tenant

    name = factory.Sequence(lambda n: f"Tenant {n}")
    slug = factory.Sequence(lambda n: f"tenant-{n}")


class MembershipFactory(DjangoModelFactory[Membership]):
    """A member of a new tenant."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    tenant = factory.SubFactory(TenantFactory)
    role = Role.OPERATOR


class InformationSystemFactory(DjangoModelFactory[InformationSystem]):
    """An information system of a new tenant."""

    class Meta:
        model = InformationSystem

    tenant = factory.SubFactory(TenantFactory)
    name = factory.Sequence(lambda n: f"System {n}")


class CloudAccountFactory(DjangoModelFactory[CloudAccount]):
    """A shared account that leads nowhere, until a test gives it the simulator's address."""

    class Meta:
        model = CloudAccount

    name = factory.Sequence(lambda n: f"Account {n}")
    auth_url = "http://127.0.0.1:9/v3"
    credential_kind = CloudAccount.CredentialKind.PASSWORD
    access_id = "demo"
    project = "demo"


class VirtualMachineFactory(DjangoModelFactory[VirtualMachine]):
    """A stopped VM that is bound to a server which no cloud has."""

    class Meta:
        model = VirtualMachine

    information_system = factory.SubFactory(InformationSystemFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    name = factory.Sequence(lambda n: f"vm-{n}")
    cpu_cores = 2
    memory_gb = 4
    disk_gb = 40
    openstack_id = factory.Faker("uuid4")
    status = VMStatus.STOPPED
