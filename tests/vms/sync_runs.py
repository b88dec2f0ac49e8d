"""Helpers of the tests of the status sync."""

from __future__ import annotations

from vms.models import VirtualMachine
from vms.sync.status import sync_region


def reload_vm(vm):
    """Return the VM's present row, with the columns of an answer."""
    return VirtualMachine.objects.for_display().get(pk=vm.pk)


def run_full_sync(vm):
    """Sync the VM's region with a full run; runs that list changes are in `test_sync_modes.py`."""
    return sync_region(vm.account_id, vm.region, full=True)
