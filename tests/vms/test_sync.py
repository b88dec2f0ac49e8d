"""The status sync writes what the cloud reports to the rows of VMs, and never overwrites a newer write."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cloudaccounts.connect import CalledInTransactionError, open_cloud
from cloudaccounts.models import CloudAccount
from tasks import engine
from tests.factories import VirtualMachineFactory
from vms.commands.power import POWER_COMMANDS
from vms.models import (
    SyncRun,
    SyncState,
    VirtualMachine,
    VMOperationLog,
    VMStatus,
)
from vms.sync import server_pages, status
from vms.sync.server_columns import map_server_columns
from vms.sync.status import sync_region

from .sync_runs import reload_vm, run_full_sync

pytestmark = pytest.mark.django_db(transaction=True)

# --- A run -------------------------------------------------------------------------------------------------


def test_changed_vms_are_written_and_logged(cloud, vms_of):
    stopped, same = vms_of(2)
    cloud.change(stopped.openstack_id, status="SHUTOFF")

    run = run_full_sync(stopped)

    assert (run.state, run.synced, run.updated, run.skipped, run.missing) == ("success", 2, 1, 0, 0)
    assert (reload_vm(stopped).status, reload_vm(same).status) == (VMStatus.STOPPED, VMStatus.RUNNING)
    entry = VMOperationLog.objects.get()
    assert (entry.vm_id, entry.operation, entry.operator, entry.detail) == (
        stopped.pk,
        "sync",
        "",
        "running -> stopped",
    )


def test_unchanged_vms_are_not_written(cloud, vms_of):
    vms = vms_of(30)
    before = set(VirtualMachine.objects.values_list("pk", "updated_at", "written_at"))
    run_full_sync(vms[0])

    with CaptureQueriesContext(connection) as queries:
        run = run_full_sync(vms[0])

    assert run.updated == 0
    assert set(VirtualMachine.objects.values_list("pk", "updated_at", "written_at")) == before
    assert not [
        query
        for query in queries
        if 'UPDATE "vms_virtualmachine"' in query["sql"] and '"status"' in query["sql"]
    ]
    vm = reload_vm(vms[0])
    assert vm.synced_at > timezone.now() - timedelta(seconds=20)
    assert vm.synced_at > vm.observed_at


def test_the_number_of_statements_does_not_grow_with_the_fleet(cloud, vms_of):
    few = vms_of(3)
    # The first run writes down how far the cloud's clock is; later ones only when it has moved.
    CloudAccount.objects.update(clock_offsets={few[0].region: 0.0})
    for vm in few:
        cloud.change(vm.openstack_id, status="SHUTOFF")
    with CaptureQueriesContext(connection) as for_few:
        run_full_sync(few[0])
    many = vms_of(200)
    for vm in many[:50]:
        cloud.change(vm.openstack_id, status="SHUTOFF")
    with CaptureQueriesContext(connection) as for_many:
        assert run_full_sync(few[0]).updated == 50

    assert len(for_many) == len(for_few)


def test_an_unknown_word_keeps_the_status_and_is_counted(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="DANCING")

    run = run_full_sync(vm)

    assert reload_vm(vm).status == VMStatus.RUNNING
    assert run.unknown_words == {"DANCING": 1}


def test_a_fault_is_shown(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="ERROR", fault="No valid host was found.")
    run_full_sync(vm)

    assert (reload_vm(vm).status, reload_vm(vm).fault) == (VMStatus.ERROR, "No valid host was found.")


# --- Never over a newer write ------------------------------------------------------------------------------


def test_a_vm_that_a_job_holds_is_left_alone(cloud, vms_of, member):
    held, free = vms_of(2)
    with transaction.atomic():
        engine.submit(POWER_COMMANDS["stop"](str(held.pk)), tenant=member.tenant)
    for vm in (held, free):
        cloud.change(vm.openstack_id, status="PAUSED")

    run = run_full_sync(held)

    assert (reload_vm(held).status, reload_vm(free).status) == (VMStatus.RUNNING, VMStatus.PAUSED)
    assert (run.updated, run.skipped) == (1, 1)


def test_a_vm_that_was_written_after_the_listing_began_is_left_alone(cloud, vms_of, monkeypatch):
    """A job that began and ended during the listing has written newer data than the listing."""
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="PAUSED")

    def meanwhile(server, mapped=map_server_columns):
        VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED, written_at=Now())
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", meanwhile)

    assert run_full_sync(vm).skipped == 1
    assert reload_vm(vm).status == VMStatus.STOPPED


def test_without_the_check_an_old_listing_would_win(cloud, vms_of, monkeypatch):
    """Show the danger: a sync with a later start time overwrites newer data."""
    (vm,) = vms_of(1)
    cloud.change(vm.openstack_id, status="PAUSED")
    monkeypatch.setattr(status, "database_now", lambda: timezone.now() + timedelta(hours=1))

    def meanwhile(server, mapped=map_server_columns):
        VirtualMachine.objects.filter(pk=vm.pk).update(status=VMStatus.STOPPED, written_at=Now())
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", meanwhile)
    run_full_sync(vm)

    assert reload_vm(vm).status == VMStatus.PAUSED


# --- Trouble -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "garbage"}],
    ids=lambda fault: fault["kind"],
)
def test_a_cloud_that_is_away_is_a_failed_run_with_the_reason(cloud, vms_of, fault):
    (vm,) = vms_of(1)
    cloud.faults({"service": "compute", "path": ".*", "rate": 1, **fault})

    run = run_full_sync(vm)

    assert run.state == "failed"
    assert run.message
    assert run.ended_at is not None
    assert reload_vm(vm).status == VMStatus.RUNNING


def test_one_bad_server_never_stops_the_rest(cloud, vms_of, monkeypatch):
    bad, good = vms_of(2)
    cloud.change(good.openstack_id, status="SHUTOFF")

    def mapper(server, mapped=map_server_columns):
        if server.id == bad.openstack_id:
            raise ValueError("nonsense")
        return mapped(server)

    monkeypatch.setattr(server_pages, "map_server_columns", mapper)
    run = run_full_sync(bad)

    assert (run.state, run.errors, run.updated) == ("success", 1, 1)
    assert reload_vm(good).status == VMStatus.STOPPED


def test_a_region_is_synced_by_one_at_a_time_and_a_dead_run_is_closed(cloud, vms_of):
    (vm,) = vms_of(1)
    state = SyncState.objects.get()
    SyncState.objects.update(owner="somebody", lease_until=timezone.now() + timedelta(seconds=30))
    dead = SyncRun.objects.create(account=vm.account, region=vm.region)
    assert run_full_sync(vm) is None

    SyncState.objects.filter(pk=state.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert run_full_sync(vm).state == "success"
    dead.refresh_from_db()
    assert dead.state == "failed"


def test_servers_that_are_not_ours_are_ignored(cloud, vms_of):
    (vm,) = vms_of(1)
    cloud.seed(20)

    assert run_full_sync(vm).synced == 1


def test_a_vm_of_another_account_is_not_missing_here(cloud, vms_of):
    (vm,) = vms_of(1)
    VirtualMachineFactory(account=cloud.account(name="other"), region="RegionOne")

    assert run_full_sync(vm).missing == 0


def test_a_cloud_refuses_to_be_called_inside_a_transaction(cloud, vms_of):
    """Try a single call, a listing, and a listing whose pages another thread fetches."""
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
    assert reload_vm(good).status == VMStatus.STOPPED
    shown = reload_vm(first)
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
        run = run_full_sync(good)
        assert (run.state, run.errors, run.missing) == ("success", 1, 0)
        assert odd.openstack_id in run.message
    assert (reload_vm(good).status, reload_vm(odd).status) == (VMStatus.STOPPED, VMStatus.RUNNING)
