"""VMs whose servers are missing from a listing are marked the second time; a mass loss needs a confirmation."""

from __future__ import annotations

import pytest

from openstack_client.compute import Compute
from vms.models import (
    SyncState,
    VirtualMachine,
    VMOperationLog,
    VMStatus,
)
from vms.services.status_sync import accept_losses

from .sync_runs import reload_vm, run_full_sync

pytestmark = pytest.mark.django_db(transaction=True)


def vanish(vms):
    """Bind VMs to ids that the cloud has never had, so that not even a listing of deletions shows them."""
    for vm in vms:
        VirtualMachine.objects.filter(pk=vm.pk).update(openstack_id=f"lost-{vm.pk}", reading="")


def test_a_vm_missing_once_is_counted_and_missing_twice_is_in_error(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:1])

    first = run_full_sync(vms[0])
    assert (first.missing, reload_vm(vms[0]).status, reload_vm(vms[0]).missing_count) == (
        1,
        VMStatus.RUNNING,
        1,
    )
    assert not VMOperationLog.objects.exists()
    second = run_full_sync(vms[0])

    assert (second.missing, second.updated, reload_vm(vms[0]).status) == (1, 1, VMStatus.ERROR)
    assert "Not found" in VMOperationLog.objects.get().detail
    assert run_full_sync(vms[0]).updated == 0  # said once


def test_a_server_that_is_listed_again_resets_the_missing_count(cloud, vms_of):
    vms = vms_of(10)
    VirtualMachine.objects.filter(pk=vms[0].pk).update(missing_count=1)

    run_full_sync(vms[0])

    assert (reload_vm(vms[0]).status, reload_vm(vms[0]).missing_count) == (VMStatus.RUNNING, 0)


def test_a_mass_loss_marks_no_vm(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:4])

    for _ in range(3):
        run = run_full_sync(vms[0])

    assert run.state == "failed"
    assert "4 of 10" in run.message
    assert not VirtualMachine.objects.exclude(status=VMStatus.RUNNING).exists()
    assert not VirtualMachine.objects.exclude(missing_count=0).exists()
    assert SyncState.objects.get().listed_at is None


def test_a_confirmed_mass_loss_is_marked_in_the_next_full_run(cloud, vms_of):
    vms = vms_of(10)
    vanish(vms[:4])
    assert run_full_sync(vms[0]).state == "failed"
    accept_losses(SyncState.objects.all())

    assert run_full_sync(vms[0]).state == "success"

    assert VirtualMachine.objects.filter(missing_count=1).count() == 4
    assert not SyncState.objects.get().losses_accepted, "for one run"


def test_a_full_run_after_many_removals_is_no_mass_loss(cloud, vms_of):
    vms = vms_of(5)
    assert run_full_sync(vms[0]).state == "success"
    for vm in vms[:3]:
        cloud.remove(vm.openstack_id)

    assert run_full_sync(vms[0]).state == "success"

    assert VirtualMachine.objects.filter(status=VMStatus.REMOVED).count() == 3


def test_a_listing_that_breaks_off_marks_no_vm_as_missing(cloud, vms_of, monkeypatch):
    """After an error on a later page, the pages before are used, and no VM counts as missing."""
    vms = vms_of(30)
    pages = Compute.reading_pages

    def breaks_off(self, **options):
        for page in pages(self, **{**options, "page_size": 10}):
            yield page
            cloud.faults({"service": "compute", "path": ".*", "rate": 1, "kind": "status", "status": 503})

    monkeypatch.setattr(Compute, "reading_pages", breaks_off)

    for _ in range(2):
        cloud.no_faults()
        run = run_full_sync(vms[0])

    assert (run.state, run.missing) == ("failed", 0)
    assert 0 < run.synced < 30
    assert not VirtualMachine.objects.exclude(status=VMStatus.RUNNING).exists()
