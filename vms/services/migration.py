"""Move VMs to other hosts, for staff."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from cloudaccounts.models import ComputeHost
from tasks import engine
from tenants.scoping import Role, Scope, has_staff_permission, require_staff_permission

from ..actions import IN_BIN
from ..commands import host_commands
from ..commands.migration import (
    MIGRATION_COMMANDS,
    EvacuateVmCommand,
    LiveMigrateVmCommand,
    MigrationCommand,
)
from ..commands.migration_abort import AbortMigrationCommand
from ..models import VirtualMachine
from .bulk import ControlResult
from .locked_vms import lock_vm, refuse_by_state, submit_vm_command

STAFF_PERMISSION = host_commands.STAFF_PERMISSION
MAX_NAMED_HOSTS = 20


def may_migrate(scope: Scope) -> bool:
    """Return whether the caller may move VMs to other hosts."""
    return has_staff_permission(scope.user, STAFF_PERMISSION)


def may_see_host(scope: Scope | None) -> bool:
    """Return whether the caller may see the host of a VM: staff who may view VMs, and never a tenant's member as such."""
    return scope is not None and has_staff_permission(scope.user, "vms.view_virtualmachine")


def migrate_vm(
    *, scope: Scope, vm_id: UUID, kind: Literal["live", "cold"], host: str = "", dry_run: bool = False
) -> ControlResult:
    """Move a VM to another host, running (live) or stopped meanwhile (cold). Without a host, Nova chooses one.

    Raises `NotFoundError`, and other domain errors: 403 `staff_only`, `permission_missing`; 409 `busy`, `in_bin`, `not_bound`, `wrong_state`;
    400 `invalid` for a host that the account's last reading does not know, that is down, or that is the VM's own.
    """
    return _submit(scope, vm_id, MIGRATION_COMMANDS[kind](str(vm_id), host), dry_run=dry_run)


def evacuate_vm(*, scope: Scope, vm_id: UUID, host: str = "", dry_run: bool = False) -> ControlResult:
    """Build a VM anew on another host, because its own is dead. Raises as `migrate_vm`."""
    return _submit(scope, vm_id, EvacuateVmCommand(str(vm_id), host), dry_run=dry_run)


def abort_migration(*, scope: Scope, vm_id: UUID, dry_run: bool = False) -> ControlResult:
    """Abort the live migration of a VM; it stays on its host. Asking twice is the same as once.

    A migration of the portal is aborted by the cancellation of its job. Where no job holds the VM, a job looks for a migration
    that somebody has begun in the cloud. Raises `NotFoundError`, and other domain errors: 403 `staff_only`, `permission_missing`; 409 `busy`
    when another kind of job holds the VM, `not_bound`.
    """
    with transaction.atomic():
        vm = lock_vm(scope, vm_id, Role.OPERATOR, may_be_in_bin=True)
        require_staff_permission(scope.user, STAFF_PERMISSION)
        holder = engine.lock_holder(vm.lock_key)
        if holder is None or holder.kind != LiveMigrateVmCommand.kind:
            command = AbortMigrationCommand(str(vm_id))
            refuse_by_state(vm, command)
            return submit_vm_command(scope, vm, command, dry_run=dry_run)
        changed = not dry_run and engine.cancel(holder)
        if changed:
            holder.refresh_from_db()
        return ControlResult(vm, changed=changed, job=None if dry_run else holder, holder=holder)


def list_target_hosts(vm: VirtualMachine) -> list[ComputeHost]:
    """Return the hosts that a VM can be moved to, as far as they were read."""
    known = ComputeHost.objects.filter(account=vm.account_id, region=vm.region, is_up=True)
    return list(known.exclude(name=vm.host))


def list_host_aggregates(vm: VirtualMachine) -> list[str]:
    """Return the names of the host aggregates of a VM's host, as far as they were read."""
    if not vm.host:
        return []
    known = ComputeHost.objects.filter(account=vm.account_id, region=vm.region, name=vm.host).first()
    return [str(name) for name in known.aggregates] if known else []


def _submit(scope: Scope, vm_id: UUID, command: MigrationCommand, *, dry_run: bool) -> ControlResult:
    with transaction.atomic():
        # Deletion protection does not matter: nothing is deleted; an evacuation loses only what the dead host has on its disk.
        vm = lock_vm(scope, vm_id, Role.OPERATOR, may_be_in_bin=True)
        require_staff_permission(scope.user, STAFF_PERMISSION)
        if vm.is_in_bin:
            raise ConflictError("in_bin", IN_BIN)
        refuse_by_state(vm, command)
        _check_host(vm, command.host)
        return submit_vm_command(scope, vm, command, dry_run=dry_run)


def _check_host(vm: VirtualMachine, host: str) -> None:
    """Raise 400 for a host that cannot take the VM. Where no hosts were read, Nova alone decides."""
    if not host:
        return
    if host == vm.host:
        raise InvalidFieldsError({"host": [_("The VM is on '%(host)s' already.") % {"host": host}]})
    known = {one.name: one for one in ComputeHost.objects.filter(account=vm.account_id, region=vm.region)}
    if known and host not in known:
        names = sorted(known.keys() - {vm.host})[:MAX_NAMED_HOSTS]
        message = _("Host '%(host)s' not found. Available: %(known)s.")
        raise InvalidFieldsError({"host": [message % {"host": host, "known": ", ".join(names) or "-"}]})
    if known and not known[host].is_up:
        message = _("Host '%(host)s' is down. Choose another one, or leave the choice to the cloud.")
        raise InvalidFieldsError({"host": [message % {"host": host}]})
