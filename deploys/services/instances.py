"""Instances: which service is on which host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from api.messages import to_message
from api.preconditions import check_if_match
from tasks.command import Refusal
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row

from ..models import Host, MicroService, MicroServiceInstance, MicroServiceVersion
from .catalogue import UNKNOWN_ID, lock_service
from .folders import check_folder_free

# The fields that operators may change; the others are for administrators.
OPERATOR_FIELDS = frozenset({"is_maintain"})
INSTANCES = MicroServiceInstance.objects.select_related(
    "version", "host", "updated_by", "locked_by__operator"
)


def check_vm_removal(vm_ids: Sequence[UUID]) -> dict[UUID, list[Refusal]]:
    """Return the reasons against removing VMs, by VM: their hosts have instances."""
    services: dict[UUID, list[str]] = defaultdict(list)
    of_vms = MicroServiceInstance.objects.filter(host__vm__in=vm_ids).order_by("service__name")
    for vm_id, name in of_vms.values_list("host__vm", "service__name"):
        services[vm_id].append(name)
    message = to_message(_("Services run on it: %(names)s. Remove their instances first."))
    return {
        vm_id: [Refusal("has_instances", message % {"names": ", ".join(names[:5])})]
        for vm_id, names in services.items()
    }


def visible_instance(
    scope: Scope, service_id: UUID, instance_id: UUID, needed: Role = Role.VIEWER
) -> MicroServiceInstance:
    """Return an instance of a visible service for which the caller has the role. Raises `NotFoundError`, 403."""
    instances = INSTANCES.filter(service=service_id)
    instance: MicroServiceInstance = get_visible_row(instances, scope, instance_id, needed)
    return instance


def add_instance(*, scope: Scope, service_id: UUID, fields: dict[str, Any]) -> MicroServiceInstance:
    """Record that a version is on a host. Nothing is done on the host, so the status is unknown.

    Raises `NotFoundError`, 403, 409 `host_taken`, `folder_taken`, `limit_reached`, 400 by field.
    """
    with transaction.atomic():
        instance = _create_instance(scope, lock_service(scope, service_id, Role.ADMIN), fields)
        return visible_instance(scope, service_id, instance.pk)


def _create_instance(scope: Scope, service: MicroService, fields: dict[str, Any]) -> MicroServiceInstance:
    host_id, version_id = fields.pop("host"), fields.pop("version")
    host = Host.objects.for_tenant(service.information_system.tenant).filter(pk=host_id).first()
    version = MicroServiceVersion.objects.filter(service=service, pk=version_id).first()
    errors: dict[str, Any] = {}
    if host is None:
        errors["host"] = [UNKNOWN_ID % {"pk": host_id}]
    if version is None:
        errors["version"] = [UNKNOWN_ID % {"pk": version_id}]
    if host is None or version is None:
        raise InvalidFieldsError(errors)
    tenant = service.information_system.tenant
    require_row_limit(
        tenant, "instances", MicroServiceInstance.objects.filter(service__information_system__tenant=tenant)
    )
    check_folder_free(service, [host.pk])
    columns = {"port": service.port, **fields}
    instance = MicroServiceInstance(
        service=service, host=host, version=version, updated_by=scope.user, **columns
    )
    try:
        with transaction.atomic():
            instance.save(force_insert=True)
    except IntegrityError as error:
        if violated_constraint(error) != "one_version_of_a_service_on_a_host":
            raise
        message = _("The service is on %(host)s already.")
        raise ConflictError("host_taken", message % {"host": host}, errors={"host": [_("Taken.")]}) from None
    return instance


def find_changeable_instance(
    scope: Scope, service_id: UUID, instance_id: UUID, names: set[str]
) -> MicroServiceInstance:
    """Return an instance whose named fields the caller may change now. Raises `NotFoundError`, 403, 409 `locked`."""
    instance = visible_instance(scope, service_id, instance_id, _required_role(names))
    check_lock(instance)
    return instance


def change_instance(
    *, scope: Scope, service_id: UUID, instance_id: UUID, fields: dict[str, Any], if_match: str | None
) -> MicroServiceInstance:
    """Change an instance that no deployment has locked. Raises `NotFoundError`, 403, 412, 409 `locked`."""
    with transaction.atomic():
        instance = _lock_instance(scope, service_id, instance_id, _required_role(set(fields)), if_match)
        for name, value in fields.items():
            setattr(instance, name, value)
        instance.updated_by = scope.user
        # Only these columns: deployments write the others.
        instance.save(update_fields=[*fields, "updated_by", "updated_at"])
        return visible_instance(scope, service_id, instance_id)


def remove_instance(*, scope: Scope, service_id: UUID, instance_id: UUID, if_match: str | None) -> None:
    """Delete an instance's record; the host is not touched. Raises `NotFoundError`, 403, 412, 409 `locked`."""
    with transaction.atomic():
        _lock_instance(scope, service_id, instance_id, Role.ADMIN, if_match).delete()


def check_lock(instance: MicroServiceInstance) -> None:
    """Raise 409 `locked`, with the deployment that has locked the instance."""
    if not instance.locked:
        return
    holder = instance.locked_by
    message = _("%(host)s is locked by a deployment. Wait for it to end, or cancel it.")
    raise ConflictError(
        "locked",
        message % {"host": instance.host},
        deployment=str(holder.pk) if holder else None,
    )


def _lock_instance(
    scope: Scope, service_id: UUID, instance_id: UUID, needed: Role, if_match: str | None
) -> MicroServiceInstance:
    """Return an instance with its row locked, so that no deployment starts in the meantime."""
    rows = MicroServiceInstance.objects.filter(service=service_id).select_related("host")
    instance: MicroServiceInstance = lock_row(rows, scope, instance_id, needed)
    check_lock(instance)
    check_if_match(if_match, instance.updated_at)
    return instance


def _required_role(names: set[str]) -> Role:
    return Role.OPERATOR if names <= OPERATOR_FIELDS else Role.ADMIN
