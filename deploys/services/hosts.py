"""Hosts: entered by hand, or made of a VM of the tenant's."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated
from api.domain_errors import ConflictError, InvalidError, InvalidFieldsError
from api.preconditions import check_if_match
from tenants.models import Tenant
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row
from vms.models import VirtualMachine

from ..executors.addresses import check_address
from ..executors.contract import ExecutorError
from ..models import Host
from .catalogue import NO_SUCH, REQUIRED

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.+~-]+")
LONGEST_NAME = 128


def problems_of_address(ip: str) -> list[str]:
    """Why no host may be at an address: it is the portal's own machine, or leads to a metadata service."""
    try:
        check_address(ip, allow_local=settings.ALLOW_LOCAL_HOSTS)
    except ExecutorError as error:
        return [error.message]
    return []


def tenant_of(scope: Scope) -> Tenant:
    """The tenant that the caller works for. Raises 400 `tenant_required` for staff who name none."""
    if scope.tenant is None:
        raise InvalidError("tenant_required", _("Name the tenant that it is for in the X-Tenant header."))
    return scope.tenant


def visible_host(scope: Scope, host_id: UUID, needed: Role = Role.VIEWER) -> Host:
    """A host that the caller may do something to. Raises `NotFoundError`, 403."""
    host: Host = get_visible_row(Host.objects.select_related("vm", "tenant"), scope, host_id, needed)
    return host


def create_host(*, scope: Scope, fields: dict[str, Any]) -> Host:
    """Enter a host; of a VM, its name and address are taken where none are given.

    Raises 403, 409 `name_taken`, `limit_reached`, 400 by field.
    """
    scope.require(Role.ADMIN, Host)
    host = Host(tenant=tenant_of(scope))
    vm = _vm(host.tenant, fields.get("vm_id"))
    if vm is not None:
        fields = {"hostname": name_of(vm), "ip": address_of(vm), **fields}
        if not fields["ip"]:
            raise InvalidFieldsError({"vm": [_("The VM has no address yet; give the host's `ip`.")]})
    missing = {name: [REQUIRED] for name in ("hostname", "ip") if not fields.get(name)}
    if missing:
        raise InvalidFieldsError(missing)
    _fill(host, fields)
    with transaction.atomic():
        require_row_limit(host.tenant, "hosts", Host.objects.filter(tenant=host.tenant))
        _save(host)
    return visible_host(scope, host.pk)


def change_host(*, scope: Scope, host_id: UUID, fields: dict[str, Any], if_match: str | None) -> Host:
    """Change a host, unless something is being deployed to it. Raises `NotFoundError`, 403, 412, 409 `being_deployed`, `name_taken`, 400."""
    with transaction.atomic():
        host = _locked(scope, host_id, if_match)
        if host.instances.filter(locked=True).exists():
            raise ConflictError("being_deployed", _("Something is being deployed to it; wait for the end."))
        _vm(host.tenant, fields.get("vm_id"))
        _fill(host, fields)
        host.version = F("version") + 1
        _save(host)
        return visible_host(scope, host_id)


def remove_host(*, scope: Scope, host_id: UUID, if_match: str | None) -> None:
    """Remove a host that nothing runs on. Raises `NotFoundError`, 403, 412, 409 `in_use`."""
    with transaction.atomic():
        host = _locked(scope, host_id, if_match)
        names = list(host.instances.values_list("service__name", flat=True).order_by("service__name")[:5])
        if names:
            message = _("Services run on it: %(names)s. Take them off first.")
            raise ConflictError("in_use", message % {"names": ", ".join(names)})
        host.delete()


def name_of(vm: VirtualMachine) -> str:
    """A host's name for a VM: its own, without what host names do not have."""
    name = NOT_IN_A_NAME.sub("-", vm.name).lstrip(".+~-").rstrip("-")[:LONGEST_NAME]
    return name or f"vm-{vm.pk.hex[:8]}"


def address_of(vm: VirtualMachine) -> str | None:
    """Where a VM is reached: at its own address, else at the first that the cloud tells of."""
    if vm.ip_address:
        return str(vm.ip_address)
    return next((one["ip"] for one in vm.addresses if one.get("ip")), None)


def _vm(tenant: Tenant, vm_id: UUID | None) -> VirtualMachine | None:
    """A VM of the tenant; another tenant's is as unknown as one that never was."""
    if vm_id is None:
        return None
    vm: VirtualMachine | None = VirtualMachine.objects.for_tenant(tenant).filter(pk=vm_id).first()
    if vm is None:
        raise InvalidFieldsError({"vm": [NO_SUCH % {"pk": vm_id}]})
    return vm


def _fill(host: Host, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(host, name, value)
    if "ip" in fields and (wrong := problems_of_address(str(host.ip))):
        raise InvalidFieldsError({"ip": wrong})


def _locked(scope: Scope, host_id: UUID, if_match: str | None) -> Host:
    host: Host = lock_row(Host.objects.select_related("tenant"), scope, host_id, Role.ADMIN)
    check_if_match(if_match, host.version)
    return host


def _save(host: Host) -> None:
    try:
        with transaction.atomic():
            host.save()
    except IntegrityError as error:
        if violated(error) != "host_name_unique_in_tenant":
            raise
        message = _("The tenant has a host called '%(name)s' already.")
        errors = {"hostname": [_("Taken.")]}
        raise ConflictError("name_taken", message % {"name": host.hostname}, errors=errors) from None
