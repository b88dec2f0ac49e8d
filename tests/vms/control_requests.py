"""Helpers that request actions on VMs and read the VMs again."""

from __future__ import annotations

from vms.models import VirtualMachine
from vms.services import control_vm


def control(scope, vm, action, **options):
    return control_vm(scope=scope, vm_id=vm.pk, action=action, **options)


def fresh(vm):
    return VirtualMachine.objects.get(pk=vm.pk)
