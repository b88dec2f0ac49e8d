"""Serializers of instances."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import PlainCharField, StrictModelSerializer

from ..models import MicroServiceInstance


class HolderSerializer(serializers.Serializer[Any]):
    """The deployment that has locked an instance, its operator and its start."""

    deployment = serializers.UUIDField()
    action = serializers.CharField()
    operator = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField()


class InstanceSerializer(ReadOnlyModelSerializer[MicroServiceInstance]):
    """A service on a host, in one version."""

    version_id = serializers.UUIDField(read_only=True)
    version = serializers.CharField(source="version.label", read_only=True)
    host_id = serializers.UUIDField(read_only=True)
    host = serializers.SerializerMethodField()
    status_display = serializers.CharField(source="get_status_display", read_only=True)
    locked_by = serializers.SerializerMethodField()
    updated_by = serializers.SerializerMethodField()

    class Meta:
        model = MicroServiceInstance
        fields = [
            "id",
            "service",
            "version_id",
            "version",
            "host_id",
            "host",
            "port",
            "tag",
            "weight",
            "description",
            "status",
            "status_display",
            "locked",
            "locked_by",
            "is_maintain",
            "updated_by",
            "updated_at",
        ]

    def get_host(self, instance: MicroServiceInstance) -> str:
        return str(instance.host)

    @extend_schema_field(HolderSerializer(allow_null=True))
    def get_locked_by(self, instance: MicroServiceInstance) -> dict[str, Any] | None:
        holder = instance.locked_by
        if holder is None:
            return None
        return {
            "deployment": holder.pk,
            "action": holder.action,
            "operator": holder.operator.get_username() if holder.operator else None,
            "since": holder.created_at,
        }

    def get_updated_by(self, instance: MicroServiceInstance) -> str | None:
        return instance.updated_by.get_username() if instance.updated_by else None


class ChangeInstanceSerializer(StrictModelSerializer[MicroServiceInstance]):
    """The editable fields of an instance: `is_maintain` for operators, the others for administrators."""

    class Meta:
        model = MicroServiceInstance
        fields = ["port", "tag", "weight", "description", "is_maintain"]


class NewInstanceSerializer(StrictModelSerializer[MicroServiceInstance]):
    """A new instance of a service. `port` defaults to the service's port."""

    host = serializers.UUIDField()
    version = serializers.UUIDField()
    port = serializers.IntegerField(min_value=1, max_value=65535, required=False)
    description = PlainCharField(max_length=500, required=False, allow_blank=True)

    class Meta:
        model = MicroServiceInstance
        fields = ["host", "version", "port", "tag", "weight", "description"]
        validators: list[Any] = []
