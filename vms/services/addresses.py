"""Attach floating IPs to VMs, and detach them."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError, InvalidFieldsError
from networks.models import FloatingIp, RowStatus
from networks.services import FloatingIpChange, lock_floating_ip
from tasks import engine
from tasks.operations import operation
from tenants.scoping import Role, Scope, get_visible_row

from ..commands.addresses import AttachFloatingIpCommand, DetachFloatingIpCommand
from ..models import VirtualMachine
from .interfaces import list_interfaces
from .locked_vms import lock_vm, update_locked_vm


@operation("vms.attach_floating_ip", AttachFloatingIpCommand)
def attach_floating_ip(
    *, scope: Scope, floating_ip_id: UUID, vm: UUID, port: UUID | None = None
) -> FloatingIpChange:
    """Submit the attachment of a floating IP to a VM of the same tenant, account and region.

    Raises `NotFoundError`, and other domain errors: 403 `role_too_low`; 400 `invalid`, by field; 409 `busy`, `attached`, `gone`, `not_bound`.
    The VM is locked before the floating IP, as everywhere.
    """
    visible: FloatingIp = get_visible_row(
        FloatingIp.objects.select_related("tenant"), scope, floating_ip_id, Role.OPERATOR
    )
    if not VirtualMachine.objects.within(scope).for_tenant(visible.tenant).filter(pk=vm).exists():
        raise InvalidFieldsError({"vm": [_("VM not found: %(id)s.") % {"id": vm}]})
    with transaction.atomic():
        locked_vm = lock_vm(scope, vm, Role.OPERATOR)
        floating_ip = lock_floating_ip(scope, floating_ip_id, Role.OPERATOR)
        if (floating_ip.account_id, floating_ip.region) != (locked_vm.account_id, locked_vm.region):
            message = _("The VM is in another cloud account or region than the floating IP.")
            raise InvalidFieldsError({"vm": [message]})
        if port is not None and str(port) not in {one.port_id for one in list_interfaces(locked_vm)}:
            raise InvalidFieldsError({"port": [_("The VM has no interface %(id)s.") % {"id": port}]})
        command = AttachFloatingIpCommand(str(locked_vm.pk), str(floating_ip.pk), str(port or ""))
        if floating_ip.is_attached and engine.lock_holder(floating_ip.lock_key) is None:
            message = _("The floating IP %(address)s is attached. Detach it first.")
            raise ConflictError("attached", message % {"address": floating_ip})
        if floating_ip.status == RowStatus.GONE:
            raise ConflictError("gone", _("The cloud no longer has this floating IP. Give it back here."))
        command.vm = locked_vm
        command.floating_ip = floating_ip
        submitted = engine.submit(command, tenant=floating_ip.tenant, user=scope.user)
        if not submitted.joined:
            update_locked_vm(locked_vm)
        return FloatingIpChange(floating_ip, submitted.job)


@operation("vms.detach_floating_ip", DetachFloatingIpCommand)
def detach_floating_ip(*, scope: Scope, floating_ip_id: UUID) -> FloatingIpChange:
    """Submit the detachment of a floating IP; one that is attached to nothing needs no job.

    Raises `NotFoundError`, 403 `role_too_low`, 409 `busy`.
    """
    with transaction.atomic():
        floating_ip = lock_floating_ip(scope, floating_ip_id, Role.OPERATOR)
        if holder := engine.lock_holder(floating_ip.lock_key):
            if holder.kind != DetachFloatingIpCommand.kind:
                raise engine.BusyError(holder)
        elif not floating_ip.is_attached:
            return FloatingIpChange(floating_ip, None)
        command = DetachFloatingIpCommand(str(floating_ip.pk), str(floating_ip.vm_id or ""))
        command.row = floating_ip
        job = engine.submit(command, tenant=floating_ip.tenant, user=scope.user).job
        return FloatingIpChange(floating_ip, job)
