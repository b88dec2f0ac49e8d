"""Services and versions."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import StrictModelSerializer
from tenants.scoping import Role

from ..models import MicroService, MicroServiceVersion
from ..services.catalogue import validate_service


@extend_schema_field({"type": "object", "additionalProperties": {}})
class SettingsField(serializers.JSONField):
    """The settings of a service for its executor: names and values."""

    def to_internal_value(self, data: Any) -> Any:
        """An object."""
        if not isinstance(data, dict):
            raise serializers.ValidationError(_("Expected an object."))
        return super().to_internal_value(data)


class ServiceSerializer(StrictModelSerializer[MicroService]):
    """Something that runs on hosts, and how it is put there."""

    information_system = serializers.UUIDField(source="information_system_id")
    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    executor_settings = SettingsField(required=False)

    class Meta:
        model = MicroService
        fields = [
            "id",
            "information_system",
            "information_system_name",
            "name",
            "language",
            "description",
            "repository",
            "folder",
            "port",
            "health_path",
            "health_port",
            "health_status",
            "health_contains",
            "health_seconds",
            "executor",
            "executor_settings",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "version", "created_at", "updated_at"]
        # Uniqueness is the database's word.
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse settings that the executors would refuse."""
        checked = {
            "folder": "",
            "health_path": "",
            "executor": "",
            "executor_settings": {},
            **(vars(self.instance) if self.instance else {}),
            **attrs,
        }
        if problems := validate_service(checked):
            raise serializers.ValidationError(problems)
        return attrs


class VersionSerializer(StrictModelSerializer[MicroServiceVersion]):
    """One build of a service. Where its artifact is may hold a signature, so that viewers do not see it."""

    build_status_display = serializers.CharField(source="get_build_status_display", read_only=True)
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = MicroServiceVersion
        fields = [
            "id",
            "service",
            "label",
            "number",
            "build_status",
            "build_status_display",
            "artifact_url",
            "sha256",
            "notes",
            "built_at",
            "created_by",
            "created_at",
        ]
        read_only_fields = ["id", "service", "number", "built_at", "created_at"]
        validators: list[Any] = []

    def get_created_by(self, version: MicroServiceVersion) -> str | None:
        return version.created_by.get_username() if version.created_by else None

    def to_representation(self, version: MicroServiceVersion) -> dict[str, Any]:
        """The version; without its artifact's address for who may not deploy."""
        shown: dict[str, Any] = super().to_representation(version)
        if not self.context["scope"].allows(Role.OPERATOR, MicroServiceVersion):
            shown["artifact_url"] = None
        return shown


class ChangeVersionSerializer(StrictModelSerializer[MicroServiceVersion]):
    """How a build goes, and where its artifact is."""

    class Meta:
        model = MicroServiceVersion
        fields = ["build_status", "artifact_url", "sha256", "notes"]
