"""Snapshots of VMs in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, StrictSerializer
from tasks.serializers import JobSerializer

from ..models import VMSnapshot


class SnapshotSerializer(ReadOnlyModelSerializer[VMSnapshot]):
    """An image of a VM; `image_id` is what a new VM names to boot from it."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = VMSnapshot
        fields = [
            "id",
            "name",
            "vm_id",
            "vm_name",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "image_id",
            "status",
            "size_bytes",
            "created_by",
            "created_at",
        ]

    def get_created_by(self, snapshot: VMSnapshot) -> str | None:
        return snapshot.created_by.get_username() if snapshot.created_by else None


class NewSnapshotSerializer(StrictSerializer):
    """The name of a new snapshot."""

    name = CloudNameField(max_length=200)


class SnapshotJobSerializer(serializers.Serializer[Any]):
    """The snapshot, and the job that creates or deletes it."""

    snapshot = SnapshotSerializer()
    job = JobSerializer()
