"""Volumes as the API shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from portal.api.answers import AnswerSerializer
from tasks.serializers import JobSerializer

from .models import Volume


class VolumeSerializer(AnswerSerializer[Volume]):
    """A tenant's volume."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    vm_name = serializers.SerializerMethodField()

    class Meta:
        model = Volume
        fields = [
            "id",
            "volume_id",
            "name",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "type",
            "size_gb",
            "status",
            "source",
            "vm",
            "vm_name",
            "device",
            "is_boot",
            "created_at",
        ]

    def get_vm_name(self, volume: Volume) -> str | None:
        return volume.vm.name if volume.vm else None


class VolumeRemovedSerializer(serializers.Serializer[Any]):
    """The volume, and the job that removes it."""

    volume = VolumeSerializer()
    job = JobSerializer()
