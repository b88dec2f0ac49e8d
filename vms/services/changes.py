"""Change a VM's name, description, runtime, metadata, tags and deletion protection."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from api.preconditions import check_if_match
from tasks import engine
from tasks.models import Job
from tasks.operations import operation
from tenants.scoping import Role, Scope

from ..commands.changes import ChangeVmCommand
from ..models import VirtualMachine
from .locked_vms import lock_vm, update_locked_vm
from .protection import list_removing_jobs, log_protection, role_to_set_protection

# The fields that the server has too: a command changes them there first, then in the row.
_SERVER_FIELDS = ("name", "metadata")


@operation("vms.change", ChangeVmCommand, omitted=["if_match"])
def change_vm(
    *, scope: Scope, vm_id: UUID, fields: dict[str, Any], if_match: str | None = None
) -> tuple[VirtualMachine, Job | None]:
    """Change a VM; return it with the job that changes its server, or None when the server is not concerned.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low` (turning protection off needs an administrator); 412 when `if_match` is of an older version; 400 `invalid`;
    409 `busy`, `not_bound`. Everything is written, or nothing.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR)
        check_if_match(if_match, vm.version)
        starts = fields.get("runtime_start", vm.runtime_start)
        ends = fields.get("runtime_end", vm.runtime_end)
        if starts is not None and ends is not None and ends < starts:
            raise InvalidFieldsError({"runtime_end": [_("The end date is before the start date.")]})
        is_on = fields.get("deletion_protection", vm.deletion_protection)
        changes_protection = is_on != vm.deletion_protection
        if changes_protection:
            scope.require(role_to_set_protection(is_on=is_on), VirtualMachine)
            if is_on and (removing := list_removing_jobs([vm])):
                raise engine.BusyError(removing[vm.lock_key])
        row_fields = {name: value for name, value in fields.items() if name not in _SERVER_FIELDS}
        server_fields = {
            name: fields[name]
            for name in _SERVER_FIELDS
            if name in fields and fields[name] != getattr(vm, name)
        }
        job = None
        if server_fields:
            command = ChangeVmCommand(str(vm.pk), **server_fields)
            command.vm = vm
            job = engine.submit(command, tenant=vm.information_system.tenant, user=scope.user).job
        if fields:
            update_locked_vm(vm, **row_fields, version=F("version") + 1)
            if changes_protection:
                log_protection(scope, [vm], is_on=is_on)
            vm.version = VirtualMachine.objects.values_list("version", flat=True).get(pk=vm.pk)
        return vm, job
