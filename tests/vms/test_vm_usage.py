"""The sums of VMs that the database keeps: they are what counting the VMs gives, whoever writes."""

from __future__ import annotations

import random

import pytest
from django.db import connection, transaction
from django.db.models import Count, Sum
from django.test import Client

from tenants.quotas import measure_usage, read_usage
from tenants.scoping import Role, Scope
from tests.factories import (
    InformationSystemFactory,
    MembershipFactory,
    TenantFactory,
    VirtualMachineFactory,
    VolumeFactory,
    VolumeSnapshotFactory,
)
from vms.models import Resize, VirtualMachine, VMStatus, VMUsage
from vms.queries import correct_vm_usage, merge_vm_usage
from vms.services.usage import check_usage, count_vms_by_status

SIZES = ("cpu_cores", "memory_gb", "disk_gb")


@pytest.fixture
def tenant():
    return TenantFactory(quota_vms=50)


@pytest.fixture
def systems(tenant):
    return [InformationSystemFactory(tenant=tenant), InformationSystemFactory(tenant=tenant)]


def read_sums():
    sums = VMUsage.objects.values_list("information_system", "status").annotate(Sum("vms"), *map(Sum, SIZES))
    return {row[:2]: tuple(map(int, row[2:])) for row in sums.order_by() if any(row[2:])}


def count_rows():
    counts = VirtualMachine.objects.values_list("information_system", "status").annotate(
        Count("pk"), *map(Sum, SIZES)
    )
    return {row[:2]: row[2:] for row in counts.order_by()}


@pytest.mark.django_db
def test_the_sums_are_right_after_any_writes(systems):
    account = VirtualMachineFactory(information_system=systems[0]).account
    chance = random.Random(7)

    def insert():
        rows = [
            VirtualMachineFactory.build(
                information_system=chance.choice(systems),
                account=account,
                status=chance.choice(VMStatus.values),
                cpu_cores=chance.randint(1, 8),
            )
            for _ in range(chance.randint(1, 4))
        ]
        VirtualMachine.objects.bulk_create(rows)

    def some():
        ids = list(VirtualMachine.objects.values_list("pk", flat=True).order_by("pk"))
        return VirtualMachine.objects.filter(pk__in=chance.sample(ids, min(len(ids), 3)))

    def roll_back():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            insert()
            raise ZeroDivisionError

    writes = [
        insert,
        roll_back,
        lambda: some().update(status=chance.choice(VMStatus.values)),
        lambda: some().update(memory_gb=chance.randint(1, 64), disk_gb=chance.randint(10, 90)),
        lambda: some().update(information_system=chance.choice(systems)),
        lambda: some().delete(),
        merge_vm_usage,
        lambda: [vm.save() for vm in some()],
    ]
    for _ in range(60):
        chance.choice(writes)()

        assert read_sums() == count_rows()

    assert correct_vm_usage() == 0


@pytest.mark.django_db
def test_a_write_of_other_columns_adds_no_row(systems):
    vm = VirtualMachineFactory(information_system=systems[0])
    before = VMUsage.objects.count()

    VirtualMachine.objects.filter(pk=vm.pk).update(name="new", fault="x", status=vm.status, moving=True)

    assert VMUsage.objects.count() == before


@pytest.mark.django_db
def test_a_merge_leaves_one_row_for_a_system_and_a_status_and_none_for_nothing(systems):
    vms = [VirtualMachineFactory(information_system=systems[0], status=VMStatus.RUNNING) for _ in range(4)]
    VirtualMachineFactory(information_system=systems[1], status=VMStatus.ERROR).delete()
    vms[0].delete()

    merge_vm_usage()

    (row,) = VMUsage.objects.all()
    assert (row.information_system_id, row.status, row.vms) == (systems[0].pk, "running", 3)
    assert merge_vm_usage() == 0


@pytest.mark.django_db
def test_what_is_wrong_is_corrected(systems):
    VirtualMachineFactory.create_batch(2, information_system=systems[0])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE vms_vmusage SET vms = vms + 5, disk_gb = 0")
        # A restore without triggers.
        cursor.execute("SET LOCAL session_replication_role = replica")
        VirtualMachineFactory(information_system=systems[1])
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert read_sums() != count_rows()

    assert check_usage() == 2

    assert read_sums() == count_rows()
    assert check_usage() == 0


@pytest.mark.django_db
def test_a_page_shows_what_a_refusal_counts(tenant, systems):
    vms = [VirtualMachineFactory(information_system=system, cpu_cores=2) for system in systems for _ in "ab"]
    Resize.objects.create(vm=vms[0], flavor_id="f", flavor_name="f", cpu_cores=8, memory_gb=1, disk_gb=99)
    VolumeFactory(information_system=systems[0], account=vms[0].account, size_gb=7)
    VolumeSnapshotFactory(information_system=systems[1], size_gb=3)
    VirtualMachineFactory()
    empty = TenantFactory()

    assert read_usage(tenant) == measure_usage(tenant)
    assert read_usage(tenant)["cpu_cores"]["used"] == 14
    assert read_usage(empty) == measure_usage(empty)


@pytest.mark.django_db
def test_a_vm_is_counted_on_the_pages_as_soon_as_it_is_written(tenant, systems):
    member = MembershipFactory(tenant=tenant, role=Role.VIEWER)
    browser = Client()
    browser.force_login(member.user)
    VirtualMachineFactory(information_system=systems[0])
    assert "1 / 50" in browser.get("/vms/").content.decode()

    VirtualMachineFactory(information_system=systems[0])

    assert "2 / 50" in browser.get("/vms/").content.decode()
    assert "2 / 50" in browser.get("/overview/").content.decode()


@pytest.mark.django_db
def test_counts_are_those_of_the_scope(tenant, systems):
    member = MembershipFactory(tenant=tenant)
    scope = Scope(member.user, tenant, Role.VIEWER)
    VirtualMachineFactory.create_batch(2, information_system=systems[0], status=VMStatus.STOPPED)
    VirtualMachineFactory(information_system=systems[1], status=VMStatus.ERROR)
    VirtualMachineFactory(status=VMStatus.ERROR)

    assert list(count_vms_by_status(scope).items()) == [("stopped", 2), ("error", 1)]
    assert count_vms_by_status(scope, information_system__in=[systems[1].pk]) == {"error": 1}


@pytest.mark.django_db(transaction=True)
def test_two_tenants_transactions_do_not_wait_for_each_other(systems):
    """A change of VMs adds rows and locks none, so that another one of the same system goes on at once."""
    first = VirtualMachineFactory(information_system=systems[0], status=VMStatus.RUNNING)
    second = VirtualMachineFactory(
        information_system=systems[0], account=first.account, status=VMStatus.RUNNING
    )
    merge_vm_usage()
    other = connection.copy()
    try:
        with transaction.atomic():
            VirtualMachine.objects.filter(pk=first.pk).update(status=VMStatus.STOPPED)
            with other.cursor() as cursor:
                cursor.execute("SET lock_timeout = '2s'")
                cursor.execute("UPDATE vms_virtualmachine SET status = 'error' WHERE id = %s", [second.pk])
                # A merge beside an open transaction leaves alone what it does not see.
                cursor.execute("SELECT count(*) FROM vms_vmusage")
    finally:
        other.close()

    assert read_sums() == count_rows()
    merge_vm_usage()
    assert read_sums() == count_rows()
