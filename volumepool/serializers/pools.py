"""Pools and their spares as the API shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from portal.api.answers import AnswerSerializer

from ..models import SpareVolume, VolumePool
from ..services.figures import Figures


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
