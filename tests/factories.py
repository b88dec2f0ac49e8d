"""Factories of rows, each with the minimum of columns that it needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from cloudaccounts.models import CatalogueGrant, CatalogueKind, CloudAccount, CloudResource
from deploys.models import (
    Deployment,
    DeploymentItem,
    Host,
    MicroService,
    MicroServiceInstance,
    MicroServiceVersion,
)
from tenants.models import InformationSystem, Invitation, Membership, Tenant, User
from tenants.scoping import Role
from vms.models import VirtualMachine, VMSnapshot, VMStatus
from volumepool.models import SpareVolume, Volume, VolumePool, VolumeSnapshot


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


class InvitationFactory(DjangoModelFactory[Invitation]):
    """An invitation of any user into a new tenant, valid for a day."""

    class Meta:
        model = Invitation

    tenant = factory.SubFactory(TenantFactory)
    username = factory.Sequence(lambda n: f"invited-{n}")
    role = Role.OPERATOR
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=1))


class InformationSystemFactory(DjangoModelFactory[InformationSystem]):
    """An information system of a new tenant."""

    class Meta:
        model = InformationSystem

    tenant = factory.SubFactory(TenantFactory)
    name = factory.Sequence(lambda n: f"System {n}")


class CloudAccountFactory(DjangoModelFactory[CloudAccount]):
    """A shared account whose address no cloud has, until a test gives it the simulator's. It has no schedule yet.

    Most tests need an account and no schedule, and to write the schedule takes six times as long as to write the account.
    The schedule is written when the account is saved again; `ScheduledAccountFactory` writes it at once.

    Every tenant is granted everything in it, unless `grants=False`.
    """

    class Meta:
        model = CloudAccount
        skip_postgeneration_save = True

    @factory.post_generation
    def grants(account, create, extracted, **_kwargs):  # noqa: N805 - as factory_boy calls it.
        """Every tenant may use what a shared account has."""
        if create and extracted is not False and account.tenant_id is None:
            grant_everything(account)

    name = factory.Sequence(lambda n: f"Account {n}")
    auth_url = "http://127.0.0.1:9/v3"
    credential_kind = CloudAccount.CredentialKind.PASSWORD
    access_id = "demo"
    project = "demo"

    @classmethod
    def _create(cls, model_class: type[CloudAccount], *args: Any, **columns: Any) -> CloudAccount:
        # A bulk insert sends no signal, which would write the schedule.
        (account,) = model_class.objects.bulk_create([model_class(*args, **columns)])
        return account


class ScheduledAccountFactory(CloudAccountFactory):
    """An account that was saved, with the schedule of its syncs."""

    @classmethod
    def _create(cls, model_class: type[CloudAccount], *args: Any, **columns: Any) -> CloudAccount:
        return model_class.objects.create(*args, **columns)


class VirtualMachineFactory(DjangoModelFactory[VirtualMachine]):
    """A stopped VM that is bound to a server that no cloud has."""

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


class CloudResourceFactory(DjangoModelFactory[CloudResource]):
    """A resource that a sync has found in a shared account."""

    class Meta:
        model = CloudResource

    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    type = "flavor"
    cloud_id = factory.Faker("uuid4")
    name = factory.Sequence(lambda n: f"resource-{n}")
    status = "active"


class VolumeFactory(DjangoModelFactory[Volume]):
    """A volume that is attached to no VM, bound to one that no cloud has."""

    class Meta:
        model = Volume

    information_system = factory.SubFactory(InformationSystemFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    volume_id = factory.Faker("uuid4")
    name = factory.Sequence(lambda n: f"volume-{n}")
    size_gb = 10
    status = "available"


class VolumeSnapshotFactory(DjangoModelFactory[VolumeSnapshot]):
    """A snapshot of a volume, bound to one that no cloud has."""

    class Meta:
        model = VolumeSnapshot

    information_system = factory.SubFactory(InformationSystemFactory)
    volume = factory.SubFactory(
        VolumeFactory, information_system=factory.SelfAttribute("..information_system")
    )
    account = factory.SelfAttribute("volume.account")
    region = "RegionOne"
    snapshot_id = factory.Faker("uuid4")
    name = factory.Sequence(lambda n: f"volume-snapshot-{n}")
    size_gb = 10
    status = "available"


class VolumePoolFactory(DjangoModelFactory[VolumePool]):
    """A pool of small empty volumes in a shared account, of which none is desired."""

    class Meta:
        model = VolumePool

    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    type = factory.Sequence(lambda n: f"type-{n}")
    size_gb = 1


class SpareVolumeFactory(DjangoModelFactory[SpareVolume]):
    """A spare that can be claimed, bound to a volume that no cloud has."""

    class Meta:
        model = SpareVolume

    pool = factory.SubFactory(VolumePoolFactory)
    volume_id = factory.Faker("uuid4")
    name = factory.Sequence(lambda n: f"spare-{n}")
    region = "RegionOne"
    size_gb = 1
    status = "available"
    available_at = factory.LazyFunction(timezone.now)


class VMSnapshotFactory(DjangoModelFactory[VMSnapshot]):
    """A snapshot of a VM that is gone."""

    class Meta:
        model = VMSnapshot

    information_system = factory.SubFactory(InformationSystemFactory)
    account = factory.SubFactory(CloudAccountFactory)
    region = "RegionOne"
    vm_id = factory.Faker("uuid4")
    vm_name = "shop-1"
    name = factory.Sequence(lambda n: f"snapshot-{n}")
    image_id = factory.Faker("uuid4")
    status = "active"


class ServiceFactory(DjangoModelFactory[MicroService]):
    """A service that is deployed by Ansible."""

    class Meta:
        model = MicroService

    information_system = factory.SubFactory(InformationSystemFactory)
    name = factory.Sequence(lambda n: f"service-{n}")
    folder = "/srv/service"
    port = 8080
    executor = "ansible"
    executor_settings = factory.LazyFunction(lambda: {"unit": "service.service"})


class VersionFactory(DjangoModelFactory[MicroServiceVersion]):
    """A version that is built, with a unique number."""

    class Meta:
        model = MicroServiceVersion
        skip_postgeneration_save = True

    service = factory.SubFactory(ServiceFactory)
    number = factory.LazyAttribute(lambda version: version.service.versions.count() + 1)
    label = factory.LazyAttribute(lambda version: f"1.{version.number}.0")
    build_status = MicroServiceVersion.BuildStatus.SUCCESS
    artifact_url = "https://artifacts.example.org/service.tar.gz?signature=s3cr3t"
    sha256 = "a" * 64
    built_at = factory.LazyFunction(timezone.now)

    @factory.post_generation
    def keep_number(version, create, extracted, **_kwargs):  # noqa: N805 - as factory_boy calls it.
        """The service's next number is a higher one."""
        if create:
            version.service.last_number = max(version.service.last_number, version.number)
            MicroService.objects.filter(pk=version.service.pk).update(last_number=version.service.last_number)


class HostFactory(DjangoModelFactory[Host]):
    """A host that is not a VM of the portal."""

    class Meta:
        model = Host

    tenant = factory.SubFactory(TenantFactory)
    hostname = factory.Sequence(lambda n: f"host-{n}")
    ip = factory.Sequence(lambda n: f"10.30.{n // 250 % 250}.{n % 250 + 1}")


class InstanceFactory(DjangoModelFactory[MicroServiceInstance]):
    """A running instance on a host of its service's tenant."""

    class Meta:
        model = MicroServiceInstance

    version = factory.SubFactory(VersionFactory)
    service = factory.SelfAttribute("version.service")
    host = factory.SubFactory(
        HostFactory, tenant=factory.SelfAttribute("..service.information_system.tenant")
    )
    port = 8080
    status = MicroServiceInstance.Status.RUNNING


class DeploymentFactory(DjangoModelFactory[Deployment]):
    """An upgrade that has ended."""

    class Meta:
        model = Deployment

    from_version = factory.SubFactory(VersionFactory)
    service = factory.SelfAttribute("from_version.service")
    to_version = factory.SubFactory(VersionFactory, service=factory.SelfAttribute("..service"))
    action = Deployment.Action.UPGRADE
    strategy = factory.LazyFunction(lambda: {"batch": 1, "pause": 0, "max_failures": 0, "auto_revert": True})
    operator = factory.SubFactory(UserFactory)
    ended_at = factory.LazyFunction(timezone.now)


class DeploymentItemFactory(DjangoModelFactory[DeploymentItem]):
    """An instance that a deployment has given its version."""

    class Meta:
        model = DeploymentItem

    deployment = factory.SubFactory(DeploymentFactory)
    instance = factory.SubFactory(InstanceFactory, version=factory.SelfAttribute("..deployment.to_version"))
    host_name = factory.LazyAttribute(lambda item: str(item.instance.host))
    batch = 0
    from_version = factory.SelfAttribute("deployment.from_version")
    result = DeploymentItem.Result.SUCCEEDED
    code = "ok"
    log = "It was done.\n"


def grant_everything(account: CloudAccount) -> None:
    """Grant all that an account has to every tenant."""
    CatalogueGrant.objects.bulk_create(
        CatalogueGrant(account=account, kind=kind, match="*", name_pattern="^.*$")
        for kind in CatalogueKind.values
        if kind != CatalogueKind.SERVER_GROUP_POLICY
    )


def create_catalogue(account: CloudAccount) -> None:
    """Create the resources in an account that a VM can be created from, as a sync does."""
    sizes = {"2c-4g-40g": (2, 4, 40), "4c-8g-100g": (4, 8, 100), "8c-8g-20g": (8, 8, 20)}
    for name, (cores, memory, disk) in sizes.items():
        attributes = {"vcpus": cores, "memory_mb": memory * 1024, "disk_gb": disk}
        CloudResourceFactory(account=account, name=name, attributes=attributes)
    image = {
        "os_type": "linux",
        "os_distro": "ubuntu",
        "os_version": "22.04",
        "min_disk_gb": 5,
        "min_memory_mb": 512,
        "visibility": "public",
        "is_snapshot": False,
    }
    CloudResourceFactory(account=account, type="image", name="Ubuntu 22.04", attributes=image)
    networks = {"internal": False, "external": True}
    for name, is_external in networks.items():
        CloudResourceFactory(
            account=account,
            type="network",
            name=name,
            status="ACTIVE",
            attributes={"is_external": is_external, "cidrs": ["10.20.0.0/16"]},
        )
    CloudResourceFactory(account=account, type="zone", cloud_id="nova", name="nova", status="available")
    CloudResourceFactory(account=account, type="volume_type", name="fast")
