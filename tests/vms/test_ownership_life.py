"""Adoption, release and the sweep for orphans with a cloud: what is let go stays, and the sync fills what is adopted."""

from __future__ import annotations

import threading

import pytest
from django.conf import settings as portal_settings
from django.db import connection

from cloudaccounts.connect import open_cloud
from cloudaccounts.sync.resources import sync_resource
from tenants.scoping import Role, Scope
from tests.factories import InformationSystemFactory, MembershipFactory
from vms.models import Orphan, VirtualMachine
from vms.services.adoption import AdoptionRequest, adopt_resources
from vms.services.orphans import sweep_orphans
from vms.services.release import release_vm
from vms.sync import orphans
from vms.sync.status import sync_region
from volumepool.models import OrphanVolume, SpareVolume, Volume, VolumePool
from volumepool.services import reconcile

from .adopting import adopt, client_of, refusals, staff

pytestmark = pytest.mark.django_db(transaction=True)

REGION = "RegionOne"


def sync_inventory(account):
    """Sync servers and volumes into the inventory."""
    for type_code in ("server", "volume"):
        log = sync_resource(account.pk, type_code)
        assert log.state == "success", log.message


@pytest.fixture
def own(account, catalogue, admin):
    """The account, as the administrator's tenant has it for itself."""
    account.tenant = admin.member.tenant
    account.save()
    return account


def sweep(account, settings, monkeypatch):
    """Sweep until whatever is an orphan is confirmed; return the ids of the orphans that are to be deleted."""
    settings.ORPHANS_REMOVE = True
    monkeypatch.setattr(orphans, "LONGEST_CREATION", orphans.timedelta(hours=-1))
    for _ in range(3):
        sweep_orphans(account.pk, REGION)
    return set(Orphan.objects.values_list("cloud_id", flat=True))


def test_a_server_of_strangers_is_adopted_and_the_next_sync_fills_the_rest(cloud, own, admin, system):
    cloud.seed(1, status="SHUTOFF", name_prefix="stranger")
    sync_inventory(own)
    # A sync that lists changes alone would not show a server that nobody has changed since.
    sync_region(own.pk, REGION)

    response = adopt(admin, own, system, rule={"name": "stranger*"})

    assert (response.status_code, response.json()["adopted"]) == (201, 1), response.json()
    assert sync_region(own.pk, REGION).full
    vm = VirtualMachine.objects.get()
    (server,) = open_cloud(own, REGION).compute.server_pages().__next__()
    (address,) = vm.addresses
    assert (vm.status, vm.missing_count, vm.sync_state.region) == ("stopped", 0, REGION)
    assert (vm.ip_address, vm.mac_address) == (server.addresses[0].ip, server.addresses[0].mac)
    assert address["kind"] == "fixed"
    assert vm.reading


def test_what_the_portal_has_created_and_released_is_no_orphan_and_is_adopted_again(
    cloud, own, admin, system, settings, monkeypatch
):
    admin.done(admin.new_vm(system, boot_volume=True))
    vm = VirtualMachine.objects.get()
    admin.done(admin.post(f"/api/v1/vms/{vm.pk}/volumes/", {"size_gb": 3}, format="json"))
    sizes = (vm.cpu_cores, vm.memory_gb, vm.disk_gb)
    volumes = set(Volume.objects.values_list("pk", "volume_id", "is_boot", "size_gb"))
    cloud.call("DELETE", "requests")

    assert admin.post(f"/api/v1/vms/{vm.pk}/release/", {}, format="json").status_code == 200

    assert not cloud.counts()["objects"], "nothing was asked of the cloud"
    assert not VirtualMachine.objects.exists() and not Volume.objects.exists()
    assert sweep(own, settings, monkeypatch) == set()
    compute = open_cloud(own, REGION).compute
    assert compute.get_server(vm.openstack_id).status == "ACTIVE"
    sync_inventory(own)
    again = adopt(admin, own, system, servers=[vm.openstack_id])
    assert again.status_code == 201, again.json()
    found = VirtualMachine.objects.get()
    assert (found.pk, (found.cpu_cores, found.memory_gb, found.disk_gb)) == (vm.pk, sizes)
    assert set(Volume.objects.values_list("pk", "volume_id", "is_boot", "size_gb")) == volumes
    assert sweep(own, settings, monkeypatch) == set()
    # And without a record, the same server would be one.
    VirtualMachine.objects.all().delete()
    assert sweep(own, settings, monkeypatch) == {vm.openstack_id}


def test_a_released_volume_of_a_pool_never_becomes_a_spare(cloud, own, admin, system):
    cinder = open_cloud(own, REGION).block_storage
    pool = VolumePool.objects.create(
        account=own, region=REGION, type="data", size_gb=1, desired=5, enabled=False
    )
    mark = {"portal_pool": portal_settings.CLOUD_TAG}
    cinder_id = cinder.create_volume(name="spare-data-1", size_gb=1, metadata=mark).id
    cloud.seed(1)
    sync_inventory(own)
    (server_id,) = [one["cloud_id"] for one in unmanaged(admin, own, "server")]
    assert refusals(adopt(admin, own, system, volumes=[cinder_id], dry_run=True)) == {
        "spare-data-1": "in_pool"
    }
    OrphanVolume.record_used_volume(own, REGION, cinder_id, "spare-data-1", "available")
    adopt(admin, own, system, servers=[server_id], volumes=[cinder_id])
    vm = VirtualMachine.objects.get()
    Volume.objects.update(vm=vm)
    OrphanVolume.objects.all().delete()

    release_vm(scope=admin.scope, vm_id=vm.pk)
    for _ in range(3):
        reconcile(own.pk, REGION)

    assert not SpareVolume.objects.filter(pool=pool).exists()
    assert not OrphanVolume.objects.exists()
    assert cinder.get_volume(cinder_id).name == "spare-data-1"


def unmanaged(client, account, type_code):
    return client.get(f"/api/v1/cloud-accounts/{account.pk}/unmanaged/", {"type": type_code}).json()[
        "results"
    ]


def test_of_two_who_adopt_the_same_server_at_once_one_wins_and_the_other_is_told(cloud, own, admin, system):
    (server_id,) = cloud.seed(1)
    sync_inventory(own)
    others = InformationSystemFactory(tenant=admin.member.tenant)
    colleague = MembershipFactory(tenant=admin.member.tenant, role=Role.ADMIN)
    scopes = [admin.scope, Scope(colleague.user, colleague.tenant, Role.ADMIN)]
    start, outcomes = threading.Barrier(2), []

    def run(scope, target):
        try:
            start.wait(10)
            request = AdoptionRequest(target.pk, servers=[server_id])
            adoption = adopt_resources(scope=scope, account_id=own.pk, request=request)
            outcomes.append(adoption.is_done or adoption.candidates[0].refusal.code)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=arguments)
        for arguments in zip(scopes, (system, others), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes, key=str) == [True, "managed"]
    assert VirtualMachine.objects.filter(openstack_id=server_id).count() == 1


def test_of_two_accounts_of_one_project_the_second_is_refused(cloud, own, admin, system):
    twin = cloud.account(name="twin", tenant=admin.member.tenant)
    (server_id,) = cloud.seed(1)
    sync_inventory(own)
    from tests.catalogue import sync_catalogue

    sync_catalogue(twin)
    sync_inventory(twin)

    assert adopt(admin, own, system, servers=[server_id]).status_code == 201
    assert unmanaged(admin, twin, "server") == []
    assert refusals(adopt(admin, twin, system, servers=[server_id])) == {"seeded-00000": "managed"}


def test_staff_adopt_from_a_shared_account_for_any_tenant_that_may_use_it(cloud, account, catalogue, system):
    (server_id,) = cloud.seed(1)
    sync_inventory(account)

    assert (
        adopt(
            client_of(MembershipFactory(role=Role.ADMIN).user), account, system, servers=[server_id]
        ).status_code
        == 403
    )
    assert adopt(staff(), account, system, servers=[server_id]).status_code == 201
    assert VirtualMachine.objects.get().information_system == system
