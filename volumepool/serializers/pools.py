"""Pools and their spares in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer

from ..models import SpareVolume, VolumePool
from ..services.stock import History, Point


class SpareVolumeSerializer(ReadOnlyModelSerializer[SpareVolume]):
    """A spare of a pool."""

    class Meta:
        model = SpareVolume
        fields = ["id", "volume_id", "name", "snapshot_id", "size_gb", "status", "created_at", "available_at"]


class _PoolFigureMixin:
    """A field whose value is in the figures of the pool, not in its row."""

    field_name: str | None
    context: dict[str, Any]

    def get_attribute(self, pool: VolumePool) -> Any:
        """Return the figure of the field's name."""
        return getattr(self.context["figures"][pool.pk], str(self.field_name))


class PoolCountField(_PoolFigureMixin, serializers.IntegerField):
    """A count among the figures of a pool."""


class PoolRateField(_PoolFigureMixin, serializers.FloatField):
    """A share or a number of seconds among the figures of a pool."""


class VolumePoolSerializer(serializers.ModelSerializer[VolumePool]):
    """A pool, with its present stock and its figures of the last two weeks."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    available = PoolCountField(read_only=True)
    creating = PoolCountField(read_only=True)
    claimed_today = PoolCountField(read_only=True)
    hits = PoolCountField(read_only=True)
    misses = PoolCountField(read_only=True)
    hit_rate = PoolRateField(read_only=True, allow_null=True)
    seconds_saved = PoolRateField(read_only=True)
    suggested = PoolCountField(read_only=True, allow_null=True)

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
            "image_id",
            "current_snapshot_id",
            "source_error",
            "desired",
            "max_in_flight",
            "max_age_days",
            "enabled",
            "paused_until",
            "last_error",
            "creation_seconds",
            "available",
            "creating",
            "claimed_today",
            "hits",
            "misses",
            "hit_rate",
            "seconds_saved",
            "suggested",
            "created_at",
            "updated_at",
        ]


class PoolHistoryQuerySerializer(StrictSerializer):
    """The length of the history in days; query parameters."""

    days = serializers.IntegerField(min_value=1, max_value=90, default=1)


class PoolPointSerializer(serializers.Serializer[Point]):
    """A pool in one interval of its history; null where nothing was recorded."""

    at = serializers.DateTimeField()
    available_min = serializers.IntegerField(allow_null=True)
    available_avg = serializers.FloatField(allow_null=True)
    creating = serializers.IntegerField(allow_null=True)
    desired = serializers.IntegerField(allow_null=True)
    hits = serializers.IntegerField()
    misses = serializers.IntegerField()


class PoolHistorySerializer(serializers.Serializer[History]):
    """A pool over time: points of equal length, the oldest first."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    seconds_per_point = serializers.IntegerField()
    points = PoolPointSerializer(many=True)
