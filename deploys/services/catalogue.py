"""Services and their versions: entered, changed, removed; versions are registered by those who build them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated
from api.domain_errors import ConflictError, InvalidFieldsError
from api.preconditions import check_if_match
from tenants.models import InformationSystem
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row, lock_row

from ..commands.instance import executor_for
from ..executors import HealthCheck, Release, UnknownExecutor, executor_names
from ..models import Deployment, DeploymentItem, MicroService, MicroServiceVersion
from .folders import refuse_shared_folder

Status = MicroServiceVersion.BuildStatus
# Where a build goes from where it is; what has ended stays as it is.
NEXT: dict[str, list[str]] = {
    Status.PENDING: [Status.BUILDING, Status.SUCCESS, Status.FAILED, Status.CANCELLED],
    Status.BUILDING: [Status.SUCCESS, Status.FAILED, Status.CANCELLED],
}
# What a deployment under way goes by: half of its hosts must not be done in another way than the other half.
DEPLOYED_BY = frozenset(
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
NO_SUCH = _('Invalid pk "%(pk)s" - object does not exist.')
REQUIRED = _("This field is required.")
ANY_SUM = "0" * 64


def problems_of_service(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a service's folder, health path, executor or its settings, by field."""
    problems: dict[str, Any] = {}
    if (plain := posixpath.normpath(fields["folder"])) != fields["folder"]:
        # Under two names it would be two services' own.
        problems["folder"] = [_("Write it as %(folder)s.") % {"folder": plain}]
    if fields.get("health_path"):
        try:
            HealthCheck(path=fields["health_path"])
        except ValueError:
            problems["health_path"] = [_("A path begins with a slash and has no blanks.")]
    try:
        wrong = executor_for(fields["executor"]).check_settings(fields["executor_settings"])
    except UnknownExecutor:
        message = _("There is no executor '%(name)s'; there are: %(known)s.")
        shown = {"name": fields["executor"], "known": ", ".join(executor_names())}
        return {**problems, "executor": [message % shown]}
    if wrong:
        problems["executor_settings"] = {name: [text] for name, text in wrong.items()}
    return problems


def problems_of_version(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong with a version's artifact, by field: one that is built has an address and a sum."""
    problems: dict[str, Any] = {}
    if fields.get("artifact_url"):
        try:
            Release("any", fields["artifact_url"], ANY_SUM)
        except ValueError:
            problems["artifact_url"] = [_("An artifact's address is http or https, with a host.")]
    if fields.get("build_status") == Status.SUCCESS:
        problems |= {name: [REQUIRED] for name in ("artifact_url", "sha256") if not fields.get(name)}
    return problems


def visible_service(scope: Scope, service_id: UUID, needed: Role = Role.VIEWER) -> MicroService:
    """A service that the caller may do something to. Raises `NotFoundError`, 403 `role_too_low`."""
    services = MicroService.objects.select_related("information_system__tenant")
    service: MicroService = get_visible_row(services, scope, service_id, needed)
    return service


def locked_service(scope: Scope, service_id: UUID, needed: Role) -> MicroService:
    """The same with its row locked; who only refers to it need not wait."""
    services = MicroService.objects.select_related("information_system__tenant")
    locked = services.select_for_update(of=("self",), no_key=True)
    service: MicroService = get_visible_row(locked, scope, service_id, needed)
    return service


def create_service(*, scope: Scope, fields: dict[str, Any]) -> MicroService:
    """Enter a service of an information system. Raises 403, 409 `name_taken`, `limit_reached`, 400 by field."""
    scope.require(Role.ADMIN, MicroService)
    system = _system(scope, fields.pop("information_system_id"))
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
        service = locked_service(scope, service_id, Role.ADMIN)
        check_if_match(if_match, service.version)
        changed = {name for name, value in fields.items() if getattr(service, name) != value}
        if changed & DEPLOYED_BY and service.instances.filter(locked=True).exists():
            raise ConflictError(
                "being_deployed", _("It is being deployed; wait for the end, or cancel that.")
            )
        if "information_system_id" in changed:
            system = _system(scope, fields["information_system_id"])
            if system.tenant_id != service.information_system.tenant_id:
                raise _no_such("information_system", system.pk)
        for name, value in fields.items():
            setattr(service, name, value)
        if "folder" in changed:
            refuse_shared_folder(service, service.instances.values_list("host", flat=True))
        service.version = F("version") + 1
        _save_service(service)
        return visible_service(scope, service_id)


def remove_service(*, scope: Scope, service_id: UUID, if_match: str | None) -> None:
    """Remove a service that runs nowhere, with its versions and the history of its deployments.

    Raises `NotFoundError`, 403, 412, 409 `in_use`.
    """
    with transaction.atomic():
        service = locked_service(scope, service_id, Role.ADMIN)
        check_if_match(if_match, service.version)
        count = service.instances.count()
        if count:
            message = _("It is on %(count)s hosts; take it off them first.")
            raise ConflictError("in_use", message % {"count": count})
        if service.deployments.filter(ended_at=None).exists():
            raise ConflictError("in_use", _("A deployment of it has not ended yet."))
        # They keep its versions, so they go first.
        service.deployments.all().delete()
        service.delete()


def visible_version(
    scope: Scope, service_id: UUID, version_id: UUID, needed: Role = Role.VIEWER
) -> MicroServiceVersion:
    """A version of a visible service, that the caller may do something to. Raises `NotFoundError`, 403."""
    versions = MicroServiceVersion.objects.filter(service=service_id).select_related("created_by")
    version: MicroServiceVersion = get_visible_row(versions, scope, version_id, needed)
    return version


def register_version(
    *, scope: Scope, service_id: UUID, fields: dict[str, Any]
) -> tuple[MicroServiceVersion, bool]:
    """Register a version under the next number, or find the one that was registered so before; whether it is new.

    Safe when many register at once: the service's row is locked from the reading of its last number to the writing.
    Raises `NotFoundError`, 403, 409 `label_taken` when the label has another content, `limit_reached`, 400 by field.
    """
    with transaction.atomic():
        service = locked_service(scope, service_id, Role.OPERATOR)
        known = service_version_labelled(service, fields["label"])
        if known is not None:
            differs = {name for name, value in fields.items() if getattr(known, name) != value}
            if differs:
                message = _("Version '%(label)s' is registered already, with another content.")
                errors = {name: [_("It has another value there.")] for name in sorted(differs)}
                raise ConflictError("label_taken", message % {"label": known.label}, errors=errors)
            return known, False
        if problems := problems_of_version(fields):
            raise InvalidFieldsError(problems)
        require_row_limit(service.information_system.tenant, "versions", service.versions.all())
        version = MicroServiceVersion(service=service, created_by=scope.user, **fields)
        _save_under_next_number(version, service)
        return version, True


def enter_version(version: MicroServiceVersion) -> None:
    """Save a new version under the next number of its service; as `register_version`, for who has checked the rest."""
    with transaction.atomic():
        locked = MicroService.objects.select_for_update(no_key=True).get(pk=version.service_id)
        _save_under_next_number(version, locked)


def _save_under_next_number(version: MicroServiceVersion, locked: MicroService) -> None:
    version.number = locked.last_number + 1
    version.built_at = timezone.now() if version.build_status == Status.SUCCESS else None
    version.save(force_insert=True)
    MicroService.objects.filter(pk=locked.pk).update(last_number=version.number)


def service_version_labelled(service: MicroService, label: str) -> MicroServiceVersion | None:
    """The version of a service that has this label."""
    return service.versions.select_related("created_by").filter(label=label).first()


def change_version(
    *, scope: Scope, service_id: UUID, version_id: UUID, fields: dict[str, Any]
) -> MicroServiceVersion:
    """Say how a build goes, or where its artifact is.

    The sum of what was ever deployed stays: under one label there is one content for ever. Its address may change,
    as signatures expire. Raises `NotFoundError`, 403, 409 `wrong_state` with what is allowed, `deployed_already`, 400 by field.
    """
    with transaction.atomic():
        version = _locked_version(scope, service_id, version_id, Role.OPERATOR)
        refuse_change_of_version(version, fields)
        status = fields.get("build_status", version.build_status)
        if status == Status.SUCCESS != version.build_status:
            version.built_at = timezone.now()
        for name, value in fields.items():
            setattr(version, name, value)
        if problems := problems_of_version(vars(version)):
            raise InvalidFieldsError(problems)
        version.save()
        return version


def refuse_change_of_version(version: MicroServiceVersion, fields: Mapping[str, Any]) -> None:
    """Raise 409 `wrong_state` for a status that does not follow, `deployed_already` for another sum of what was deployed."""
    status = fields.get("build_status", version.build_status)
    allowed = NEXT.get(version.build_status, [])
    if status != version.build_status and status not in allowed:
        message = _("The build is '%(status)s'; it cannot become '%(wanted)s'.")
        shown = {"status": version.get_build_status_display(), "wanted": Status(status).label}
        raise ConflictError("wrong_state", message % shown, allowed=allowed)
    if fields.get("sha256", version.sha256) != version.sha256 and was_deployed(version):
        message = _("Version '%(label)s' was deployed; its sum stays. Register another version.")
        raise ConflictError("deployed_already", message % {"label": version.label})


def was_deployed(version: MicroServiceVersion) -> bool:
    """Whether a version runs somewhere, or a deployment has put it anywhere or taken it from there."""
    told = Deployment.objects.filter(Q(to_version=version) | Q(from_version=version))
    taken = DeploymentItem.objects.filter(from_version=version)
    return version.instances.exists() or told.exists() or taken.exists()


def remove_version(*, scope: Scope, service_id: UUID, version_id: UUID) -> None:
    """Remove a version that runs nowhere and that no deployment tells of. Raises `NotFoundError`, 403, 409 `in_use`."""
    with transaction.atomic():
        version = _locked_version(scope, service_id, version_id, Role.ADMIN)
        try:
            version.delete()
        except ProtectedError:
            message = _("Version '%(label)s' runs on hosts, or a deployment tells of it.")
            raise ConflictError("in_use", message % {"label": version.label}) from None


def _locked_version(scope: Scope, service_id: UUID, version_id: UUID, needed: Role) -> MicroServiceVersion:
    versions = MicroServiceVersion.objects.filter(service=service_id).select_related("created_by")
    version: MicroServiceVersion = lock_row(versions, scope, version_id, needed)
    return version


def _system(scope: Scope, system_id: UUID) -> InformationSystem:
    system: InformationSystem | None = InformationSystem.objects.within(scope).filter(pk=system_id).first()
    if system is None:
        raise _no_such("information_system", system_id)
    return system


def _no_such(field: str, pk: UUID) -> InvalidFieldsError:
    return InvalidFieldsError({field: [NO_SUCH % {"pk": pk}]})


def _save_service(service: MicroService) -> None:
    try:
        with transaction.atomic():
            service.save()
    except IntegrityError as error:
        if violated(error) != "service_name_unique_in_system":
            raise
        message = _("The information system has a service called '%(name)s' already.")
        errors = {"name": [_("Taken.")]}
        raise ConflictError("name_taken", message % {"name": service.name}, errors=errors) from None
