"""Make a VM that was just created a host, so that services can be deployed to it at once."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from api.domain_errors import DomainError
from api.messages import message as _
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope
from vms.models import VirtualMachine

from ..models import Host
from .hosts import find_address, save_host, suggest_hostname, validate_address


def require_host_access(scope: Scope) -> None:
    """Raise 403 when the caller may not create hosts."""
    scope.require(Role.ADMIN, Host)


def register_new_vm(vm_id: UUID) -> str:
    """Make a new VM a host, and return ""; or the message of why it is none.

    Runs in the transaction that ends the creation, whose success must not depend on it: it raises no error of the data.
    """
    vm = VirtualMachine.objects.select_related("information_system__tenant").get(pk=vm_id)
    tenant, address = vm.information_system.tenant, find_address(vm)
    if not address:
        return _("The VM has no address yet, so it was not made a host. Create the host by hand.")
    host = Host(tenant=tenant, vm=vm, hostname=suggest_hostname(vm), ip=address)
    reasons = validate_address(address)
    if not reasons:
        try:
            with transaction.atomic():
                require_row_limit(tenant, "hosts", Host.objects.filter(tenant=tenant))
                save_host(host)
        except DomainError as refused:
            reasons = [refused.detail]
    return _("The VM was not made a host: %(reason)s") % {"reason": reasons[0]} if reasons else ""
