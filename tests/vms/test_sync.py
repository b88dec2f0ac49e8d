"""The status sync: the rows say what the cloud says, and nothing is believed too early."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.connect import CalledInTransactionError, open_cloud
from cloudaccounts.models import CloudAccount
from openstack_client import Address, Server
from openstack_client.compute import Compute
from tasks import engine
from tests.factories import VirtualMachineFactory
from vms.commands.power import POWER_COMMANDS
from vms.models import (
    VM_STATUS_BY_SERVER_STATUS,
    SyncRun,
    SyncState,
    VirtualMachine,
    VMOperationLog,
    VMStatus,
)
from vms.services.status_sync import accept_losses
from vms.sync import server_pages, status
from vms.sync.server_columns import map_server_columns
from vms.sync.status import sync_region

pytestmark = pytest.mark.django_db(transaction=True)

NOVA_TO_OURS = {
    "ACTIVE": "running",
    "PASSWORD": "running",
    "REBOOT": "running",
    "HARD_REBOOT": "running",
    "MIGRATING": "running",
    "VERIFY_RESIZE": "running",
    "REVERT_RESIZE": "running",
    "RESIZE": "running",
    "RESCUE": "running",
    "BUILD": "building",
    "REBUILD": "building",
    "SHUTOFF": "stopped",
    "PAUSED": "paused",
    "SUSPENDED": "suspended",
    "SHELVED": "shelved",
    "SHELVED_OFFLOADED": "shelved",
    "DELETED": "removed",
    "SOFT_DELETED": "removed",
    "ERROR": "error",
    "UNKNOWN": "unknown",
}


def fresh(vm):
    return VirtualMachine.objects.for_display().get(pk=vm.pk)


def sync(vm):
    """A full run; those that list changes are in `test_sync_modes.py`."""
    return sync_region(vm.account_id, vm.region, full=True)


# --- The mapper --------------------------------------------------------------------------------------------


def test_the_status_map_is_the_designs():
    assert VM_STATUS_BY_SERVER_STATUS == NOVA_TO_OURS


def test_an_unknown_word_maps_to_none():
    assert map_server_columns(Server(id="1", name="", status="DANCING")).status is None


def test_the_first_valid_fixed_address_wins_and_nonsense_is_left_out():
    columns = map_server_columns(
        Server(
            id="1",
            name="",
            status="ACTIVE",
            addresses=(
                Address("a", "172.24.0.9", 4, "fa:16:3e:00:00:01", "floating"),
                Address("a", "10.20.0.300", 4, "fa:16:3e:00:00:02", "fixed"),
                Address("a", "fd00::5", 6, "fa:16:3e:00:00:03", "fixed"),
                Address("b", "10.20.0.7", 4, "fa:16:3e:00:00:04", "fixed"),
            ),
        )
    )

    assert (columns.ip_address, columns.mac_address) == ("fd00::5", "fa:16:3e:00:00:03")
    assert [(address["ip"], address["kind"]) for address in columns.addresses] == [
        ("172.24.0.9", "floating"),
        ("fd00::5", "fixed"),
        ("10.20.0.7", "fixed"),
    ]


# --- A run -------------------------------------------------------------------------------------------------


def test_what_changed_is_written_and_logged(cloud, vms_of):
    stopped, same = vms_of(2)
    cloud.change(stopped.openstack_id, status="SHUTOFF")

    run = sync(stopped)

    assert (run.state, run.synced, run.updated, run.skipped, run.missing) == ("success", 2, 1, 0, 0)
    assert (fresh(stopped).status, fresh(same).status) == (VMStatus.STOPPED, VMStatus.RUNNING)
    entry = VMOperationLog.objects.get()
    assert (entry.vm_id, entry.operation, entry.operator, entry.detail) == (
        stopped.pk,
        "sync",
        "",
        "running -> stopped",
    )


def test_nothing_is_written_for_what_did_not_change(cloud, vms_of):
    vms = vms_of(30)
    before = set(VirtualMachine.objects.values_list("pk", "updated_at", "written_at"))
    sync(vms[0])

    with CaptureQueriesContext(connection) as queries:
        run = sync(vms[0])

    assert run.updated == 0
    assert set(VirtualMachine.objects.values_list("pk", "updated_at", "written_at")) == before
    assert not [
        query
        for query in queries
        if 'UPDATE "vms_virtualmachine"' in query["sql"] and '"status"' in query["sql"]
    ]
    vm = fresh(vms[0])
    assert vm.synced_at > timezone.now() - timedelta(seconds=20)
    assert vm.synced_at > vm.observed_at


def test_the_number_of_statements_does_not_grow_with_the_fleet(cloud, vms_of):
    few = vms_of(3)
    # The first run writes down how far the cloud's clock is; later ones only when it has moved.
    CloudAccount.objects.update(clock_offsets={few[0].region: 0.0})
    for vm in few:
        cloud.change(vm.openstack_id, status="SHUTOFF")
    with CaptureQueriesContext(connection) as for_few:
        sync(few[0])
    many = vms_of(200)
    for vm in many[:50]:
        cloud.change(vm.openstack_id, status="SHUTOFF")
    with CaptureQueriesContext(connection) as for_many:
        assert sync(few[0]).updated == 50

    assert len(for_many) == len(for_few)


def test_an_unknown_word_keeps_the_status_and_is_counted(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="DANCING")

    run = sync(vm)

    assert fresh(vm).status == VMStatus.RUNNING
    assert run.unknown_words == {"DANCING": 1}


def test_a_fault_is_shown(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="ERROR", fault="No valid host was found.")
    sync(vm)

    assert (fresh(vm).status, fresh(vm).fault) == (VMStatus.ERROR, "No valid host was found.")


# --- Never over a newer write ------------------------------------------------------------------------------


def test_a_vm_that_a_job_holds_is_left_alone(cloud, vms_of, member):
    held, free = vms_of(2)
    with transaction.atomic():
        engine.submit(POWER_COMMANDS["stop"](str(held.pk)), tenant=member.tenant)
    for vm in (held, free):
        cloud.change(vm.openstack_id, status="PAUSED")

    run = sync(held)

    assert (fresh(held).status, fresh(free).status) == (VMStatus.RUNNING, VMStatus.PAUSED)
    assert (run.updated, run.skipped) == (1, 1)


def test_a_vm_that_was_written_after_the_listing_began_is_left_alone(cloud, vms_of, monkeypatch):
    """A job that began and ended while the listing was under way: its word is newer than the listing's."""
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="PAUSED")

    def meanwhile(server, mapped=map_server_columns):
        VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED, written_at=Now())
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", meanwhile)

    assert sync(vm).skipped == 1
    assert fresh(vm).status == VMStatus.STOPPED


def test_without_the_check_an_old_listing_would_win(cloud, vms_of, monkeypatch):
    """The danger is real: a sync that thinks it began later overwrites the newer word."""
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="PAUSED")
    monkeypatch.setattr(status, "database_now", lambda: timezone.now() + timedelta(hours=1))

    def meanwhile(server, mapped=map_server_columns):
        VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED, written_at=Now())
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", meanwhile)
    sync(vm)

    assert fresh(vm).status == VMStatus.PAUSED


# --- What is missing ---------------------------------------------------------------------------------------


def vanish(vms):
    """Have the cloud know nothing of the servers of some VMs, not even that they were deleted."""
    for vm in vms:
        VirtualMachine.objects.filter(pk=vm.pk).update(openstack_id=f"lost-{vm.pk}", reading="")


def test_missing_once_is_noted_and_missing_twice_is_an_error(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:1])

    first = sync(vms[0])
    assert (first.missing, fresh(vms[0]).status, fresh(vms[0]).missing_count) == (1, VMStatus.RUNNING, 1)
    assert not VMOperationLog.objects.exists()
    second = sync(vms[0])

    assert (second.missing, second.updated, fresh(vms[0]).status) == (1, 1, VMStatus.ERROR)
    assert "Not found" in VMOperationLog.objects.get().detail
    assert sync(vms[0]).updated == 0  # said once


def test_what_comes_back_is_as_if_it_never_was_away(cloud, vms_of):
    vms = vms_of(10)
    VirtualMachine.objects.filter(pk=vms[0].pk).update(missing_count=1)

    sync(vms[0])

    assert (fresh(vms[0]).status, fresh(vms[0]).missing_count) == (VMStatus.RUNNING, 0)


def test_a_mass_loss_is_not_believed(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:4])

    for _ in range(3):
        run = sync(vms[0])

    assert run.state == "failed"
    assert "4 of 10" in run.message
    assert not VirtualMachine.objects.exclude(status=VMStatus.RUNNING).exists()
    assert not VirtualMachine.objects.exclude(missing_count=0).exists()
    assert SyncState.objects.get().listed_at is None


def test_a_mass_loss_is_believed_when_a_person_says_so(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:4])
    assert sync(vms[0]).state == "failed"
    accept_losses(SyncState.objects.all())

    assert sync(vms[0]).state == "success"

    assert VirtualMachine.objects.filter(missing_count=1).count() == 4
    assert not SyncState.objects.get().losses_accepted, "for one run"


def test_a_full_run_after_many_removals_is_no_mass_loss(cloud, vms_of):
    vms = vms_of(5)
    assert sync(vms[0]).state == "success"
    for vm in vms[:3]:
        cloud.remove(vm.openstack_id)

    assert sync(vms[0]).state == "success"

    assert VirtualMachine.objects.filter(status=VMStatus.REMOVED).count() == 3


def test_half_a_listing_loses_nobody(cloud, vms_of, monkeypatch):
    """An error on a later page: what was read is used, what was not is not missing."""
    vms = vms_of(30)
    pages = Compute.reading_pages

    def breaks_off(self, **options):
        for page in pages(self, **{**options, "page_size": 10}):
            yield page
            cloud.faults({"service": "compute", "path": ".*", "rate": 1, "kind": "status", "status": 503})

    monkeypatch.setattr(Compute, "reading_pages", breaks_off)

    for _ in range(2):
        cloud.no_faults()
        run = sync(vms[0])

    assert (run.state, run.missing) == ("failed", 0)
    assert 0 < run.synced < 30
    assert not VirtualMachine.objects.exclude(status=VMStatus.RUNNING).exists()


# --- Trouble -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "garbage"}],
    ids=lambda fault: fault["kind"],
)
def test_a_cloud_that_is_away_is_a_failed_run_with_the_reason(cloud, vms_of, fault):
    (vm,) = vms_of(1)
    cloud.faults({"service": "compute", "path": ".*", "rate": 1, **fault})

    run = sync(vm)

    assert run.state == "failed"
    assert run.message
    assert run.ended_at is not None
    assert fresh(vm).status == VMStatus.RUNNING


def test_one_bad_server_never_stops_the_rest(cloud, vms_of, monkeypatch):
    bad, good = vms_of(2)
    cloud.change(good.openstack_id, status="SHUTOFF")

    def mapper(server, mapped=map_server_columns):
        if server.id == bad.openstack_id:
            raise ValueError("nonsense")
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", mapper)
    run = sync(bad)

    assert (run.state, run.errors, run.updated) == ("success", 1, 1)
    assert fresh(good).status == VMStatus.STOPPED


def test_a_region_is_synced_by_one_at_a_time_and_a_dead_run_is_closed(cloud, vms_of):
    (vm,) = vms_of(1)
    state = SyncState.objects.get()
    SyncState.objects.update(owner="somebody", lease_until=timezone.now() + timedelta(seconds=30))
    dead = SyncRun.objects.create(account=vm.account, region=vm.region)
    assert sync(vm) is None

    SyncState.objects.filter(pk=state.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sync(vm).state == "success"
    dead.refresh_from_db()
    assert dead.state == "failed"


def test_servers_that_are_not_ours_are_ignored(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.seed(20)

    assert sync(vm).synced == 1


def test_a_vm_of_another_account_is_not_missing_here(cloud, vms_of):
    (vm,) = vms_of(1)
    VirtualMachineFactory(account=cloud.account(name="other"), region="RegionOne")

    assert sync(vm).missing == 0


def test_a_cloud_refuses_to_be_called_inside_a_transaction(cloud, vms_of):
    """By a single call, by a listing, and by one whose pages are fetched in another thread."""
    (vm,) = vms_of(1)
    compute = open_cloud(vm.account, vm.region).compute
    calls = [
        lambda: compute.get_server(vm.openstack_id),
        lambda: compute.stop_server(vm.openstack_id),
        lambda: list(compute.server_pages()),
        lambda: list(compute.reading_pages()),
    ]
    for call in calls:
        with pytest.raises(CalledInTransactionError), transaction.atomic():
            call()

    assert cloud.counts()["total"] == 0
    compute.get_server(vm.openstack_id)


ODD = {
    "a scoped address": {"addresses": {"net": [{"addr": "fe80::1%eth0", "OS-EXT-IPS:type": "fixed", "version": 6}]}},
    "NUL": {"addresses": {"n\x00et": [{"addr": "10.1.1.1", "OS-EXT-IPS-MAC:mac_addr": "\x00\ud800"}]}},
    "a status": {"status": "\x00ERR\ud800OR"},
    "a fault": {"status": "ERROR", "fault": {"message": "a\x00b\ud800" * 10_000}},
    "lists and objects": {"status": {"a": 1}, "addresses": [[]], "fault": "x", "name": ["n"]},
    "nesting": {"addresses": {"net": [{"addr": [[[[[[[[]]]]]]]]}]}},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_server_keeps_no_other_vm_from_being_synced(cloud, vms_of, odd):
    first, good = vms_of(2)
    cloud.change(first.openstack_id, raw=odd)
    cloud.change(good.openstack_id, status="SHUTOFF")

    for full in (True, False):
        run = sync_region(good.account_id, good.region, full=full)
        assert run.state == "success", run.message
    assert fresh(good).status == VMStatus.STOPPED
    shown = fresh(first)
    assert "\x00" not in shown.fault and shown.ip_address in {None, "fe80::1", "10.1.1.1", first.ip_address}


def test_a_server_that_cannot_be_read_is_counted_and_named_and_is_not_missing(cloud, vms_of, monkeypatch):
    odd, good = vms_of(2)
    real = server_pages.map_server_columns

    def columns(server):
        if server.id == odd.openstack_id:
            raise ArithmeticError("seven")
        return real(server)

    monkeypatch.setattr(server_pages, "map_server_columns", columns)
    for vm in (odd, good):
        cloud.change(vm.openstack_id, status="SHUTOFF")
    for _ in range(2):
        run = sync(good)
        assert (run.state, run.errors, run.missing) == ("success", 1, 0)
        assert odd.openstack_id in run.message
    assert (fresh(good).status, fresh(odd).status) == (VMStatus.STOPPED, VMStatus.RUNNING)
