"""Volumes as the API shows them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.api.answers import AnswerSerializer
from portal.api.serializers import PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from .models import SpareVolume, Volume, VolumePool
from .services.figures import Figures


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


class SpareVolumeSerializer(AnswerSerializer[SpareVolume]):
    """A spare of a pool."""

    class Meta:
        model = SpareVolume
        fields = ["id", "volume_id", "name", "snapshot_id", "size_gb", "status", "created_at", "available_at"]


class FiguresSerializer(serializers.Serializer[Any]):
    """What a pool is worth, over the last two weeks."""

    available = serializers.IntegerField()
    creating = serializers.IntegerField()
    claimed_today = serializers.IntegerField()
    hits = serializers.IntegerField()
    misses = serializers.IntegerField()
    hit_rate = serializers.FloatField(allow_null=True)
    seconds_saved = serializers.FloatField()
    suggested = serializers.IntegerField(allow_null=True)


class VolumePoolSerializer(serializers.ModelSerializer[VolumePool]):
    """A pool, with its figures."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    figures = serializers.SerializerMethodField()

    class Meta:
        model = VolumePool
        fields = [
            "id",
            "account",
            "account_name",
            "region",
            "type",
            "size_gb",
            "volume_type",
            "availability_zone",
            "snapshot_id",
            "snapshot_prefix",
            "current_snapshot_id",
            "desired",
            "max_in_flight",
            "max_age_days",
            "enabled",
            "paused_until",
            "last_error",
            "creation_seconds",
            "figures",
            "created_at",
            "updated_at",
        ]

    @extend_schema_field(FiguresSerializer)
    def get_figures(self, pool: VolumePool) -> dict[str, Any]:
        found: Figures = self.context["figures"][pool.pk]
        return dict(FiguresSerializer(found).data)
