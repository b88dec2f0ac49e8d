"""Services and versions: create, change and remove them. Build systems register versions."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from api.preconditions import check_if_match
from tenants.models import InformationSystem
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row

from ..commands.instance import find_executor
from ..executors import HealthCheck, Release, UnknownExecutorError, list_executor_names
from ..models import Deployment, DeploymentItem, MicroService, MicroServiceVersion
from .folders import check_folder_free

Status = MicroServiceVersion.BuildStatus
# The statuses that may follow each build status; the final ones have no entry.
NEXT_BUILD_STATUSES: dict[str, list[str]] = {
    Status.PENDING: [Status.BUILDING, Status.SUCCESS, Status.FAILED, Status.CANCELLED],
    Status.BUILDING: [Status.SUCCESS, Status.FAILED, Status.CANCELLED],
}
# The fields that a deployment reads. They cannot change while one is under way, because all of its hosts must be
# deployed to in the same way.
DEPLOYMENT_FIELDS = frozenset(
    {
        "name",
        "folder",
        "port",
        "health_path",
        "health_port",
        "health_status",
        "health_contains",
        "health_seconds",
        "executor",
        "executor_settings",
    }
)
UNKNOWN_ID = _('Invalid pk "%(pk)s" - object does not exist.')
REQUIRED = _("This field is required.")
ANY_SHA256 = "0" * 64


def validate_service(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the errors of a service's folder, health path, executor and executor settings, by field."""
    problems: dict[str, Any] = {}
    if (normalized := posixpath.normpath(fields["folder"])) != fields["folder"]:
        # Two spellings of one folder would pass the check that a folder belongs to one service.
        problems["folder"] = [_("Enter it as %(folder)s.") % {"folder": normalized}]
    if fields.get("health_path"):
        try:
            HealthCheck(path=fields["health_path"])
        except ValueError:
            problems["health_path"] = [_("Enter a path that starts with / and has no spaces.")]
    try:
        setting_errors = find_executor(fields["executor"]).check_settings(fields["executor_settings"])
    except UnknownExecutorError:
        message = _("There is no executor '%(name)s'; there are: %(known)s.")
        values = {"name": fields["executor"], "known": ", ".join(list_executor_names())}
        return {**problems, "executor": [message % values]}
    if setting_errors:
        problems["executor_settings"] = {name: [text] for name, text in setting_errors.items()}
    return problems


def validate_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the errors of a version's artifact, by field. A built version needs an address and a checksum."""
    problems: dict[str, Any] = {}
    if fields.get("artifact_url"):
        try:
            Release("any", fields["artifact_url"], ANY_SHA256)
        except ValueError:
            problems["artifact_url"] = [_("An artifact's address is http or https, with a host.")]
    if fields.get("build_status") == Status.SUCCESS:
        problems |= {name: [REQUIRED] for name in ("artifact_url", "sha256") if not fields.get(name)}
    return problems


def visible_service(scope: Scope, service_id: UUID, needed: Role = Role.VIEWER) -> MicroService:
    """Return a service for which the caller has the role. Raises `NotFoundError`, 403 `role_too_low`."""
    services = MicroService.objects.select_related("information_system__tenant")
    service: MicroService = get_visible_row(services, scope, service_id, needed)
    return service


def lock_service(scope: Scope, service_id: UUID, needed: Role) -> MicroService:
    """Return a service as `visible_service` does, with its row locked; transactions that only reference it do not wait."""
    services = MicroService.objects.select_related("information_system__tenant")
    locked = services.select_for_update(of=("self",), no_key=True)
    service: MicroService = get_visible_row(locked, scope, service_id, needed)
    return service


def create_service(*, scope: Scope, fields: dict[str, Any]) -> MicroService:
    """Create a service of an information system. Raises 403, 409 `name_taken`, `limit_reached`, 400 by field."""
    scope.require(Role.ADMIN, MicroService)
    system = _find_system(scope, fields.pop("information_system_id"))
    service = MicroService(information_system=system, **fields)
    with transaction.atomic():
        services = MicroService.objects.filter(information_system__tenant=system.tenant_id)
        require_row_limit(system.tenant, "services", services)
        _save_service(service)
    return service


def change_service(
    *, scope: Scope, service_id: UUID, fields: dict[str, Any], if_match: str | None
) -> MicroService:
    """Change a service. Raises `NotFoundError`, 403, 412, 409 `name_taken`, `being_deployed`, `folder_taken`, 400 by field."""
    with transaction.atomic():
        service = lock_service(scope, service_id, Role.ADMIN)
        check_if_match(if_match, service.version)
        changed = {name for name, value in fields.items() if getattr(service, name) != value}
        if changed & DEPLOYMENT_FIELDS and service.instances.filter(locked=True).exists():
            raise ConflictError(
                "being_deployed",
                _("The service is being deployed. Wait for the deployment to end, or cancel it."),
            )
        if "information_system_id" in changed:
            system = _find_system(scope, fields["information_system_id"])
            if system.tenant_id != service.information_system.tenant_id:
                raise _unknown_id_error("information_system", system.pk)
        for name, value in fields.items():
            setattr(service, name, value)
        if "folder" in changed:
            check_folder_free(service, service.instances.values_list("host", flat=True))
        service.version = F("version") + 1
        _save_service(service)
        return visible_service(scope, service_id)


def remove_service(*, scope: Scope, service_id: UUID, if_match: str | None) -> None:
    """Delete a service without instances, with its versions and the history of its deployments.

    Raises `NotFoundError`, 403, 412, 409 `in_use`.
    """
    with transaction.atomic():
        service = lock_service(scope, service_id, Role.ADMIN)
        check_if_match(if_match, service.version)
        count = service.instances.count()
        if count:
            message = _("The service has instances on %(count)s hosts. Remove them first.")
            raise ConflictError("in_use", message % {"count": count})
        if service.deployments.filter(ended_at=None).exists():
            raise ConflictError(
                "in_use", _("A deployment of the service is in progress. Wait for it to end, or cancel it.")
            )
        # Deployments protect the versions that they refer to, so they are deleted first.
        service.deployments.all().delete()
        service.delete()


def visible_version(
    scope: Scope, service_id: UUID, version_id: UUID, needed: Role = Role.VIEWER
) -> MicroServiceVersion:
    """Return a version of a visible service for which the caller has the role. Raises `NotFoundError`, 403."""
    versions = MicroServiceVersion.objects.filter(service=service_id).select_related("created_by")
    version: MicroServiceVersion = get_visible_row(versions, scope, version_id, needed)
    return version


def register_version(
    *, scope: Scope, service_id: UUID, fields: dict[str, Any]
) -> tuple[MicroServiceVersion, bool]:
    """Register a version under the next number, or return the equal one that exists; and whether it is new.

    Safe when many register at once: the service's row is locked while its last number is read and written.
    Raises `NotFoundError`, 403, 409 `label_taken` when the label has different content, `limit_reached`, 400 by field.
    """
    with transaction.atomic():
        service = lock_service(scope, service_id, Role.OPERATOR)
        registered = find_version_by_label(service, fields["label"])
        if registered is not None:
            differs = {name for name, value in fields.items() if getattr(registered, name) != value}
            if differs:
                message = _("Version '%(label)s' is already registered with different content.")
                errors = {
                    name: [_("The registered version has a different value.")] for name in sorted(differs)
                }
                raise ConflictError("label_taken", message % {"label": registered.label}, errors=errors)
            return registered, False
        if problems := validate_version(fields):
            raise InvalidFieldsError(problems)
        require_row_limit(service.information_system.tenant, "versions", service.versions.all())
        version = MicroServiceVersion(service=service, created_by=scope.user, **fields)
        _save_under_next_number(version, service)
        return version, True


def create_version(version: MicroServiceVersion) -> None:
    """Save a new, validated version under the next number of its service, for the admin."""
    with transaction.atomic():
        locked = MicroService.objects.select_for_update(no_key=True).get(pk=version.service_id)
        _save_under_next_number(version, locked)


def _save_under_next_number(version: MicroServiceVersion, locked: MicroService) -> None:
    version.number = locked.last_number + 1
    version.built_at = timezone.now() if version.build_status == Status.SUCCESS else None
    version.save(force_insert=True)
    MicroService.objects.filter(pk=locked.pk).update(last_number=version.number)


def find_version_by_label(service: MicroService, label: str) -> MicroServiceVersion | None:
    """Return the version of a service with this label, or None."""
    return service.versions.select_related("created_by").filter(label=label).first()


def change_version(
    *, scope: Scope, service_id: UUID, version_id: UUID, fields: dict[str, Any]
) -> MicroServiceVersion:
    """Change a version's build status, artifact or notes.

    The checksum of a deployed version cannot change, so that one label always means the same content. Its address may
    change, because signatures expire.
    Raises `NotFoundError`, 403, 409 `wrong_state` with the allowed statuses, `deployed_already`, 400 by field.
    """
    with transaction.atomic():
        version = _lock_version_row(scope, service_id, version_id, Role.OPERATOR)
        check_version_change(version, fields)
        status = fields.get("build_status", version.build_status)
        if status == Status.SUCCESS != version.build_status:
            version.built_at = timezone.now()
        for name, value in fields.items():
            setattr(version, name, value)
        if problems := validate_version(vars(version)):
            raise InvalidFieldsError(problems)
        version.save()
        return version


def check_version_change(version: MicroServiceVersion, fields: Mapping[str, Any]) -> None:
    """Raise 409 `wrong_state` for a status that cannot follow, `deployed_already` for another checksum of a deployed version."""
    status = fields.get("build_status", version.build_status)
    allowed = NEXT_BUILD_STATUSES.get(version.build_status, [])
    if status != version.build_status and status not in allowed:
        message = _("The build is '%(status)s'; it cannot become '%(wanted)s'.")
        values = {"status": version.get_build_status_display(), "wanted": Status(status).label}
        raise ConflictError("wrong_state", message % values, allowed=allowed)
    if fields.get("sha256", version.sha256) != version.sha256 and has_been_deployed(version):
        message = _(
            "The checksum of version '%(label)s' can't change because it was deployed. Register another version."
        )
        raise ConflictError("deployed_already", message % {"label": version.label})


def has_been_deployed(version: MicroServiceVersion) -> bool:
    """Return whether a version runs on a host or was part of a deployment."""
    deployments = Deployment.objects.filter(Q(to_version=version) | Q(from_version=version))
    items = DeploymentItem.objects.filter(from_version=version)
    return version.instances.exists() or deployments.exists() or items.exists()


def remove_version(*, scope: Scope, service_id: UUID, version_id: UUID) -> None:
    """Delete a version that is on no host and in no deployment. Raises `NotFoundError`, 403, 409 `in_use`."""
    with transaction.atomic():
        version = _lock_version_row(scope, service_id, version_id, Role.ADMIN)
        try:
            version.delete()
        except ProtectedError:
            message = _("Version '%(label)s' runs on hosts or is part of a deployment's history.")
            raise ConflictError("in_use", message % {"label": version.label}) from None


def _lock_version_row(scope: Scope, service_id: UUID, version_id: UUID, needed: Role) -> MicroServiceVersion:
    versions = MicroServiceVersion.objects.filter(service=service_id).select_related("created_by")
    version: MicroServiceVersion = lock_row(versions, scope, version_id, needed)
    return version


def _find_system(scope: Scope, system_id: UUID) -> InformationSystem:
    system: InformationSystem | None = InformationSystem.objects.within(scope).filter(pk=system_id).first()
    if system is None:
        raise _unknown_id_error("information_system", system_id)
    return system


def _unknown_id_error(field: str, pk: UUID) -> InvalidFieldsError:
    return InvalidFieldsError({field: [UNKNOWN_ID % {"pk": pk}]})


def _save_service(service: MicroService) -> None:
    try:
        with transaction.atomic():
            service.save()
    except IntegrityError as error:
        if violated_constraint(error) != "service_name_unique_in_system":
            raise
        message = _("The information system has a service called '%(name)s' already.")
        errors = {"name": [_("Taken.")]}
        raise ConflictError("name_taken", message % {"name": service.name}, errors=errors) from None
