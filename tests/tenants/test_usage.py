"""The usage of a tenant's quotas."""

from __future__ import annotations

from tests.factories import InformationSystemFactory, VirtualMachineFactory


def usage(client, tenant):
    return client.get(f"/api/v1/tenants/{tenant.pk}/usage/").json()


def test_a_new_tenant_has_used_nothing_and_is_unlimited(client, admin):
    nothing = {"used": 0, "total": None}

    assert usage(client, admin.tenant) == dict.fromkeys(("vms", "cpu_cores", "memory_gb", "disk_gb"), nothing)


def test_the_vms_of_all_its_systems_count_and_no_other_tenants(client, admin):
    tenant = admin.tenant
    tenant.quota_vms, tenant.quota_cpu_cores, tenant.quota_memory_gb = 10, 64, 0
    tenant.save()
    shop, depot = InformationSystemFactory.create_batch(2, tenant=tenant)
    VirtualMachineFactory(information_system=shop, cpu_cores=1, memory_gb=2, disk_gb=10)
    VirtualMachineFactory(information_system=shop, cpu_cores=4, memory_gb=8, disk_gb=100)
    VirtualMachineFactory(information_system=depot, cpu_cores=2, memory_gb=16, disk_gb=1000)
    VirtualMachineFactory(cpu_cores=64, memory_gb=512, disk_gb=10000)

    assert usage(client, tenant) == {
        "vms": {"used": 3, "total": 10},
        "cpu_cores": {"used": 7, "total": 64},
        "memory_gb": {"used": 26, "total": 0},
        "disk_gb": {"used": 1110, "total": None},
    }
