"""Server groups in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from ..models import ServerGroup


class ServerGroupSerializer(ReadOnlyModelSerializer[ServerGroup]):
    """A server group of an information system."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)

    class Meta:
        model = ServerGroup
        fields = [
            "id",
            "cloud_id",
            "name",
            "policy",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "status",
            "created_at",
        ]


class ServerGroupJobSerializer(serializers.Serializer[Any]):
    """The server group, and the job that creates or deletes it."""

    server_group = ServerGroupSerializer()
    job = JobSerializer(allow_null=True)


class NewServerGroupSerializer(StrictSerializer):
    """A server group to create."""

    information_system = serializers.UUIDField()
    name = CloudNameField(max_length=200)
    policy = serializers.ChoiceField(choices=ServerGroup.Policy.choices)
    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, allow_blank=True)
