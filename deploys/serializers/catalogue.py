"""Serializers of services and versions."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import StrictModelSerializer
from api.tags import TagsField
from tenants.scoping import Role

from ..models import MicroService, MicroServiceVersion
from ..services.catalogue import validate_service


@extend_schema_field({"type": "object", "additionalProperties": {}})
class SettingsField(serializers.JSONField):
    """The settings of a service for its executor: names and values."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the settings. Raises for anything but an object."""
        if not isinstance(data, dict):
            raise serializers.ValidationError(_("Expected an object."))
        return super().to_internal_value(data)


class ServiceSerializer(StrictModelSerializer[MicroService]):
    """A service that runs on hosts, with the settings of its deployments."""

    information_system = serializers.UUIDField(source="information_system_id")
    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    executor_settings = SettingsField(required=False)
    tags = TagsField(required=False)

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
            "tags",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "version", "created_at", "updated_at"]
        # The database checks the uniqueness.
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse settings that the executors would refuse."""
        fields = {
            "folder": "",
            "health_path": "",
            "executor": "",
            "executor_settings": {},
            **(vars(self.instance) if self.instance else {}),
            **attrs,
        }
        if problems := validate_service(fields):
            raise serializers.ValidationError(problems)
        return attrs


class VersionSerializer(StrictModelSerializer[MicroServiceVersion]):
    """One build of a service. Viewers do not see the address of its artifact, because it may contain a signature."""

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
        """Return the version, without the artifact's address for users who may not deploy."""
        fields: dict[str, Any] = super().to_representation(version)
        if not self.context["scope"].allows(Role.OPERATOR, MicroServiceVersion):
            fields["artifact_url"] = None
        return fields


class ChangeVersionSerializer(StrictModelSerializer[MicroServiceVersion]):
    """The build status, the artifact and the notes of a version."""

    class Meta:
        model = MicroServiceVersion
        fields = ["build_status", "artifact_url", "sha256", "notes"]
