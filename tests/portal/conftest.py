"""A tenant with a VM, a volume and a snapshot, and people of every role who look at them with a browser."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from cloudaccounts.models import CloudResource
from tasks import engine
from tests.factories import (
    CloudAccountFactory,
    InformationSystemFactory,
    MembershipFactory,
    SpareVolumeFactory,
    TenantFactory,
    UserFactory,
    VirtualMachineFactory,
    VolumePoolFactory,
)
from vms.models import VMSnapshot, VMStatus
from volumepool.commands import CreateSpareCommand
from volumepool.models import Claim, PoolStock, SpareVolume, Volume

FLAVORS = [("tiny", 1, 512, 1), ("small", 2, 4096, 40), ("small-too", 2, 4096, 40), ("large", 4, 8192, 80)]


@pytest.fixture
def tenant():
    return TenantFactory(
        name="Acme", quota_vms=10, quota_cpu_cores=8, quota_memory_gb=100, quota_disk_gb=1000
    )


@pytest.fixture
def account():
    """A cloud account in which something was found."""
    account = CloudAccountFactory(name="one")
    found = [
        ("image", "ubuntu-id", "Ubuntu 22.04", "active", {"os_distro": "ubuntu", "os_version": "22.04"}),
        ("network", "net-id", "internal", "ACTIVE", {"is_external": False, "cidrs": ["10.0.0.0/24"]}),
        ("zone", "nova", "nova", "available", {}),
        ("volume_type", "ssd", "ssd", "", {}),
    ]
    for name, cores, memory, disk in FLAVORS:
        found.append(("flavor", name, name, "active", {"vcpus": cores, "memory_mb": memory, "disk_gb": disk}))
    for type_code, cloud_id, name, status, attributes in found:
        if type_code == "image":
            attributes |= {"visibility": "public", "min_disk_gb": 5, "min_memory_mb": 512}
        CloudResource.objects.create(
            account=account,
            region="RegionOne",
            type=type_code,
            cloud_id=cloud_id,
            name=name,
            status=status,
            attributes=attributes,
        )
    return account


@pytest.fixture
def vm(tenant, account):
    return VirtualMachineFactory(
        information_system=InformationSystemFactory(tenant=tenant, name="Shop"),
        account=account,
        name="shop-1",
        status=VMStatus.RUNNING,
        flavor_name="small",
    )


@pytest.fixture
def volume(vm):
    return Volume.objects.create(
        information_system=vm.information_system,
        account=vm.account,
        region="RegionOne",
        name="data-1",
        size_gb=5,
        volume_id="cinder-1",
        status="available",
    )


@pytest.fixture
def snapshot(vm):
    return VMSnapshot.objects.create(
        information_system=vm.information_system,
        account=vm.account,
        region="RegionOne",
        vm_id=vm.pk,
        vm_name=vm.name,
        name="before",
        image_id="snap-1",
        status="active",
    )


@pytest.fixture
def as_role(tenant):
    """A browser of somebody who has a role in the tenant."""

    def browser(role, of=None):
        client = Client()
        client.force_login(MembershipFactory(tenant=of or tenant, role=role).user)
        return client

    return browser


@pytest.fixture
def own(tenant):
    """The tenant's own account; it has been saved by nobody yet who would have had it verified."""
    account = CloudAccountFactory(tenant=tenant, name="Ours", regions=["RegionOne"])
    account.set_secret("hush-hush")
    account.save()
    return account


@pytest.fixture
def staff():
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def pool(account):
    """A pool with a spare, something to be drawn, and claims that found it empty."""
    pool = VolumePoolFactory(account=account, type="debian", desired=3, volume_type="ssd")
    SpareVolumeFactory(pool=pool, name="spare-debian-aaaaaaaa", volume_type="ssd")
    now = timezone.now()
    for ago in (300, 295, 290, 10, 5):
        PoolStock.objects.create(
            pool=pool, at=now - timedelta(minutes=ago), desired=3, available=1, creating=2
        )
    Claim.objects.create(pool=pool, at=now - timedelta(hours=2), taken=3, made=1, seconds_saved=360)
    Claim.objects.create(pool=pool, at=now - timedelta(hours=2), taken=0, made=1)
    return pool


@pytest.fixture
def submit_spare_job():
    """A function that has a spare volume made for a pool, and returns its job."""

    def submit(pool, name):
        spare = SpareVolume.objects.create(pool=pool, name=name, size_gb=1, region=pool.region)
        with transaction.atomic():
            return engine.submit(CreateSpareCommand(str(spare.pk), pool.pk)).job

    return submit
