"""Volumes as the API shows them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from portal.api.answers import AnswerSerializer
from portal.api.serializers import PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from ..models import Volume


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


class WantedVolumesSerializer(StrictSerializer):
    """So many volumes of a type. `volume_ids` are those that one has ("" for a new one), or a spare's that is wanted."""

    information_system = serializers.UUIDField()
    type = PlainCharField(max_length=50)
    count = serializers.IntegerField(min_value=1, max_value=100)
    volume_ids = serializers.ListField(
        child=PlainCharField(max_length=64, allow_blank=True), max_length=100, required=False
    )
    name = PlainCharField(max_length=100, required=False, allow_blank=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """As many ids as places, at the most."""
        if len(attrs.get("volume_ids", ())) > attrs["count"]:
            message = _("More ids than volumes are wanted (%(count)s).") % {"count": attrs["count"]}
            raise serializers.ValidationError({"volume_ids": [message]})
        return attrs


class VolumesProvidedSerializer(serializers.Serializer[Any]):
    """The volumes in the order in which they were wanted, and the job that sees to the new ones; null when none is."""

    volumes = VolumeSerializer(many=True)
    job = JobSerializer(allow_null=True)
