"""Compute hosts in the API, for staff."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer

from ..models import ComputeHost


class ComputeHostSerializer(ReadOnlyModelSerializer[ComputeHost]):
    """A compute host; `read_at` is when it was read from the cloud."""

    aggregates = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ComputeHost
        fields = [
            "region",
            "name",
            "hypervisor",
            "type",
            "zone",
            "is_up",
            "is_enabled",
            "disabled_reason",
            "server_count",
            "vcpus",
            "vcpus_used",
            "memory_mb",
            "memory_mb_used",
            "aggregates",
            "read_at",
        ]


class ReadHostsSerializer(StrictSerializer):
    """A reading of the hosts takes no fields."""


class AccountHostsJobSerializer(serializers.Serializer[Any]):
    """The job that reads the hosts."""

    job = JobSerializer()
