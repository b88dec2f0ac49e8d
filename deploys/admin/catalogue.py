"""Services and versions."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.db import models
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from api.domain_errors import DomainError
from api.form_fields import StrictJSONField
from tenants.models import User
from tenants.scoping import Role, Scope

from ..models import Deployment, MicroService, MicroServiceInstance, MicroServiceVersion
from ..services.catalogue import (
    DEPLOYMENT_FIELDS,
    check_version_change,
    create_version,
    remove_service,
    validate_service,
    validate_version,
)
from ..services.folders import check_folder_free
from .guarded_forms import BEING_DEPLOYED, OTHER_TENANT, GuardedAdmin, GuardedForm, save_changed_fields


class ServiceForm(GuardedForm[MicroService]):
    """The form of a service. It refuses settings that the executor would refuse."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        data = super().clean()
        if self.errors:
            return data
        self.add_problems(validate_service(data))
        if self.is_new:
            return data
        if (
            DEPLOYMENT_FIELDS & set(self.changed_data)
            and self.instance.instances.filter(locked=True).exists()
        ):
            self.add_error(None, BEING_DEPLOYED)
        if data["information_system"].tenant_id != self.instance.information_system.tenant_id:
            self.add_error("information_system", OTHER_TENANT)
        return data


@admin.register(MicroService)
class MicroServiceAdmin(GuardedAdmin[MicroService]):
    """Services."""

    form = ServiceForm
    formfield_overrides = {models.JSONField: {"form_class": StrictJSONField}}
    list_display = ["name", "information_system", "language", "executor", "port", "last_number", "updated_at"]
    list_filter = ["executor", "information_system__tenant"]
    search_fields = ["name", "description"]
    list_select_related = ["information_system"]
    autocomplete_fields = ["information_system"]
    readonly_fields = ["tags", "last_number", "version", "created_at", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the changes under a new version of the row, so that older ETags no longer match."""
        if not change:
            obj.save()
            return
        if "folder" in form.changed_data:
            check_folder_free(obj, obj.instances.values_list("host", flat=True))
        obj.version = F("version") + 1
        save_changed_fields(obj, form, "version", "updated_at")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what a deletion removes: services with their versions and ended deployments. Instances protect them."""
        instances = MicroServiceInstance.objects.filter(service__in=objs).select_related("service", "host")
        deployments = Deployment.objects.filter(service__in=objs).select_related("service", "to_version")
        versions = MicroServiceVersion.objects.filter(service__in=objs)
        protected = [*instances, *deployments.filter(ended_at=None)]
        deleted_counts = {
            MicroService: len(objs),
            MicroServiceVersion: versions.count(),
            Deployment: deployments.count(),
        }
        counts = {model._meta.verbose_name_plural: count for model, count in deleted_counts.items()}  # noqa: SLF001
        missing = set()
        if deleted_counts[MicroServiceVersion] and not request.user.has_perm(
            "deploys.delete_microserviceversion"
        ):
            missing.add(MicroServiceVersion._meta.verbose_name)  # noqa: SLF001 - Django's documented API.
        return [str(service) for service in objs], counts, missing, [str(row) for row in protected]

    def delete_model(self, request: HttpRequest, obj: MicroService) -> None:
        """Delete a service with the same checks as over REST."""
        scope = Scope(cast("User", request.user), None, Role.ADMIN, granted_role=Role.ADMIN)
        remove_service(scope=scope, service_id=obj.pk, if_match=None)


class VersionForm(GuardedForm[MicroServiceVersion]):
    """The form of a version. The checksum of a deployed version cannot change."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        data = super().clean()
        if self.errors:
            return data
        self.add_problems(validate_version(data))
        if not self.is_new:
            try:
                check_version_change(self.instance, data)
            except DomainError as error:
                field = "build_status" if error.code == "wrong_state" else "sha256"
                self.add_error(field, error.detail)
        return data


@admin.register(MicroServiceVersion)
class MicroServiceVersionAdmin(GuardedAdmin[MicroServiceVersion]):
    """Versions. A new one gets the next number of its service."""

    form = VersionForm
    fields = [
        "service",
        "label",
        "number",
        "build_status",
        "artifact_url",
        "sha256",
        "notes",
        "built_at",
        "created_by",
        "created_at",
        "opened_hash",
    ]
    list_display = ["label", "service", "number", "build_status", "built_at", "created_by", "created_at"]
    list_filter = ["build_status", "service__information_system__tenant"]
    search_fields = ["label", "service__name"]
    list_select_related = ["service", "created_by"]
    autocomplete_fields = ["service"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[MicroServiceVersion]:
        """Return the versions with the rows that their `__str__` reads."""
        return super().get_queryset(request).select_related("service", "created_by")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Return the readonly fields: the service and the label of a version cannot change."""
        readonly = ["number", "built_at", "created_by", "created_at"]
        return readonly if obj is None else ["service", "label", *readonly]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create a version under the next number, or save the changes and the time of a successful build."""
        if not change:
            obj.created_by = request.user
            create_version(obj)
            return
        columns = []
        if "build_status" in form.changed_data and obj.build_status == obj.BuildStatus.SUCCESS:
            obj.built_at = timezone.now()
            columns.append("built_at")
        save_changed_fields(obj, form, *columns)
