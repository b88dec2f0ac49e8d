"""Snapshots of volumes in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from tasks.serializers import JobSerializer

from ..models import VolumeSnapshot


class VolumeSnapshotSerializer(ReadOnlyModelSerializer[VolumeSnapshot]):
    """A snapshot of a volume, which new volumes can be copied from."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    volume_name = serializers.CharField(source="volume.name", read_only=True)
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = VolumeSnapshot
        fields = [
            "id",
            "snapshot_id",
            "name",
            "volume",
            "volume_name",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "size_gb",
            "status",
            "created_by",
            "created_at",
        ]

    def get_created_by(self, snapshot: VolumeSnapshot) -> str | None:
        return snapshot.created_by.get_username() if snapshot.created_by else None


class VolumeSnapshotJobSerializer(serializers.Serializer[Any]):
    """The snapshot, and the job that deletes it."""

    snapshot = VolumeSnapshotSerializer()
    job = JobSerializer()
