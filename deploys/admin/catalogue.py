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
from .guarded_forms import BEING_DEPLOYED, OF_ANOTHER_TENANT, GuardedAdmin, GuardedForm, save_changed_fields


class ServiceForm(GuardedForm[MicroService]):
    """A service that its executor can deploy."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        entered = super().clean()
        if self.errors:
            return entered
        self.add_problems(validate_service(entered))
        if self.is_new:
            return entered
        if (
            DEPLOYMENT_FIELDS & set(self.changed_data)
            and self.instance.instances.filter(locked=True).exists()
        ):
            self.add_error(None, BEING_DEPLOYED)
        if entered["information_system"].tenant_id != self.instance.information_system.tenant_id:
            self.add_error("information_system", OF_ANOTHER_TENANT)
        return entered


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
    readonly_fields = ["last_number", "version", "created_at", "updated_at"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Another version of the row, for those who hold its ETag."""
        if not change:
            obj.save()
            return
        if "folder" in form.changed_data:
            check_folder_free(obj, obj.instances.values_list("host", flat=True))
        obj.version = F("version") + 1
        save_changed_fields(obj, form, "version", "updated_at")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Services with their versions and ended deployments, as over REST; hosts that they are on protect them."""
        instances = MicroServiceInstance.objects.filter(service__in=objs).select_related("service", "host")
        deployments = Deployment.objects.filter(service__in=objs).select_related("service", "to_version")
        versions = MicroServiceVersion.objects.filter(service__in=objs)
        kept_by = [*instances, *deployments.filter(ended_at=None)]
        goes = {
            MicroService: len(objs),
            MicroServiceVersion: versions.count(),
            Deployment: deployments.count(),
        }
        counts = {model._meta.verbose_name_plural: count for model, count in goes.items()}  # noqa: SLF001
        missing = set()
        if goes[MicroServiceVersion] and not request.user.has_perm("deploys.delete_microserviceversion"):
            missing.add(MicroServiceVersion._meta.verbose_name)  # noqa: SLF001 - Django's documented API.
        return [str(service) for service in objs], counts, missing, [str(row) for row in kept_by]

    def delete_model(self, request: HttpRequest, obj: MicroService) -> None:
        """As over REST: the history of its deployments keeps the versions, so it goes first."""
        scope = Scope(cast("User", request.user), None, Role.ADMIN, granted_role=Role.ADMIN)
        remove_service(scope=scope, service_id=obj.pk, if_match=None)


class VersionForm(GuardedForm[MicroServiceVersion]):
    """A version; of one that was deployed, the sum stays."""

    def clean(self) -> dict[str, Any]:
        """Return the entered data. Raises validation errors by field."""
        entered = super().clean()
        if self.errors:
            return entered
        self.add_problems(validate_version(entered))
        if not self.is_new:
            try:
                check_version_change(self.instance, entered)
            except DomainError as error:
                field = "build_status" if error.code == "wrong_state" else "sha256"
                self.add_error(field, error.detail)
        return entered


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
        "seen",
    ]
    list_display = ["label", "service", "number", "build_status", "built_at", "created_by", "created_at"]
    list_filter = ["build_status", "service__information_system__tenant"]
    search_fields = ["label", "service__name"]
    list_select_related = ["service", "created_by"]
    autocomplete_fields = ["service"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[MicroServiceVersion]:
        """With what a version calls itself by."""
        return super().get_queryset(request).select_related("service", "created_by")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Which service's it is, and under which label, is said once."""
        told = ["number", "built_at", "created_by", "created_at"]
        return told if obj is None else ["service", "label", *told]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """A new one under the next number; one whose build has ended well, with when that was."""
        if not change:
            obj.created_by = request.user
            create_version(obj)
            return
        told = []
        if "build_status" in form.changed_data and obj.build_status == obj.BuildStatus.SUCCESS:
            obj.built_at = timezone.now()
            told.append("built_at")
        save_changed_fields(obj, form, *told)
