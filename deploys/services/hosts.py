"""Hosts: created by hand, or from a VM of the tenant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from api.preconditions import check_if_match
from tenants.models import Tenant
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row, require_tenant
from vms.models import VirtualMachine

from ..executors.addresses import check_host_address
from ..executors.contract import ExecutorError
from ..models import Host
from .catalogue import REQUIRED, UNKNOWN_ID

INVALID_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9_.+~-]+")
MAX_NAME_LENGTH = 128


def validate_address(ip: str) -> list[str]:
    """Return why an address is not allowed: the portal's own machine, or a metadata service."""
    try:
        check_host_address(ip, allow_local=settings.ALLOW_LOCAL_HOSTS)
    except ExecutorError as error:
        return [error.message]
    return []


def visible_host(scope: Scope, host_id: UUID, needed: Role = Role.VIEWER) -> Host:
    """Return a host for which the caller has the role. Raises `NotFoundError`, 403."""
    host: Host = get_visible_row(Host.objects.select_related("vm", "tenant"), scope, host_id, needed)
    return host


def create_host(*, scope: Scope, fields: dict[str, Any]) -> Host:
    """Create a host; name and address default to those of its VM.

    Raises 403, 409 `name_taken`, `limit_reached`, 400 by field.
    """
    scope.require(Role.ADMIN, Host)
    host = Host(tenant=require_tenant(scope))
    vm = _find_vm(host.tenant, fields.get("vm_id"))
    if vm is not None:
        fields = {"hostname": suggest_hostname(vm), "ip": find_address(vm), **fields}
        if not fields["ip"]:
            raise InvalidFieldsError({"vm": [_("The VM has no address yet; give the host's `ip`.")]})
    missing = {name: [REQUIRED] for name in ("hostname", "ip") if not fields.get(name)}
    if missing:
        raise InvalidFieldsError(missing)
    _apply_fields(host, fields)
    with transaction.atomic():
        require_row_limit(host.tenant, "hosts", Host.objects.filter(tenant=host.tenant))
        save_host(host)
    return visible_host(scope, host.pk)


def change_host(*, scope: Scope, host_id: UUID, fields: dict[str, Any], if_match: str | None) -> Host:
    """Change a host, unless something is being deployed to it. Raises `NotFoundError`, 403, 412, 409 `being_deployed`, `name_taken`, 400."""
    with transaction.atomic():
        host = _lock_host(scope, host_id, if_match)
        if host.instances.filter(locked=True).exists():
            raise ConflictError(
                "being_deployed", _("A deployment to this host is in progress. Wait for it to end.")
            )
        _find_vm(host.tenant, fields.get("vm_id"))
        _apply_fields(host, fields)
        host.version = F("version") + 1
        save_host(host)
        return visible_host(scope, host_id)


def remove_host(*, scope: Scope, host_id: UUID, if_match: str | None) -> None:
    """Delete a host without instances. Raises `NotFoundError`, 403, 412, 409 `in_use`."""
    with transaction.atomic():
        host = _lock_host(scope, host_id, if_match)
        names = list(host.instances.values_list("service__name", flat=True).order_by("service__name")[:5])
        if names:
            message = _("Services run on it: %(names)s. Remove their instances first.")
            raise ConflictError("in_use", message % {"names": ", ".join(names)})
        host.delete()


def unlink_vms(vm_ids: Sequence[UUID]) -> None:
    """Take VMs that move to another tenant out of the hosts of their former one; each host keeps its name and address."""
    Host.objects.filter(vm__in=vm_ids).update(vm=None, version=F("version") + 1)


def suggest_hostname(vm: VirtualMachine) -> str:
    """Return a host name for a VM: its name without characters that host names do not have."""
    name = INVALID_NAME_CHARACTERS.sub("-", vm.name).lstrip(".+~-").rstrip("-")[:MAX_NAME_LENGTH]
    return name or f"vm-{vm.pk.hex[:8]}"


def find_address(vm: VirtualMachine) -> str | None:
    """Return a VM's own address, or else the first address that the cloud reports."""
    if vm.ip_address:
        return str(vm.ip_address)
    return next((one["ip"] for one in vm.addresses if one.get("ip")), None)


def _find_vm(tenant: Tenant, vm_id: UUID | None) -> VirtualMachine | None:
    """Return a VM of the tenant. Raises the same error for another tenant's VM as for an unknown one."""
    if vm_id is None:
        return None
    vm: VirtualMachine | None = (
        VirtualMachine.objects.for_tenant(tenant).outside_bin().filter(pk=vm_id).first()
    )
    if vm is None:
        raise InvalidFieldsError({"vm": [UNKNOWN_ID % {"pk": vm_id}]})
    return vm


def _apply_fields(host: Host, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        setattr(host, name, value)
    if "ip" in fields and (errors := validate_address(str(host.ip))):
        raise InvalidFieldsError({"ip": errors})


def _lock_host(scope: Scope, host_id: UUID, if_match: str | None) -> Host:
    host: Host = lock_row(Host.objects.select_related("tenant"), scope, host_id, Role.ADMIN)
    check_if_match(if_match, host.version)
    return host


def save_host(host: Host) -> None:
    """Save a host. Raises 409 `name_taken`."""
    try:
        with transaction.atomic():
            host.save()
    except IntegrityError as error:
        if violated_constraint(error) != "host_name_unique_in_tenant":
            raise
        message = _("The tenant has a host called '%(name)s' already.")
        errors = {"hostname": [_("Taken.")]}
        raise ConflictError("name_taken", message % {"name": host.hostname}, errors=errors) from None
