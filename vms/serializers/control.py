"""What an action request may say, and what came of it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.domain_errors import DomainError
from api.errors import status_of
from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer

from .vms import VirtualMachineSerializer


class ActionSerializer(StrictSerializer):
    """What to ask of a VM."""

    action = serializers.CharField(max_length=50)
    hard = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class ResizeRequestSerializer(StrictSerializer):
    """The size that a VM is to have at least. Without a disk, at least the one that it has."""

    cpu_cores = serializers.IntegerField(min_value=1, max_value=64)
    memory_gb = serializers.IntegerField(min_value=1, max_value=512)
    disk_gb = serializers.IntegerField(min_value=10, max_value=10000, required=False)
    dry_run = serializers.BooleanField(default=False)


class RemovalSerializer(StrictSerializer):
    """How a VM is to be removed: what becomes of its volumes, and whether although it runs. Query parameters."""

    volumes = serializers.ChoiceField(choices=["delete", "keep"], default="delete")
    force = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class ControlSerializer(serializers.Serializer[Any]):
    """What came of it."""

    changed = serializers.BooleanField()
    vm = VirtualMachineSerializer()
    job = JobSerializer(allow_null=True)


class BulkActionSerializer(ActionSerializer):
    """What to ask of many VMs: of all of them or none, or of those that can be asked."""

    MOST = 500

    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST)
    mode = serializers.ChoiceField(choices=["all", "valid"], default="all")


class BulkRefusalSerializer(serializers.Serializer[Any]):
    """Why one of them was not asked, as the problem that it would get alone."""

    status = serializers.SerializerMethodField()
    code = serializers.CharField()
    detail = serializers.CharField()

    def get_status(self, refusal: DomainError) -> int:
        """Return the HTTP status that it would have alone."""
        return status_of(refusal)


class BulkResultSerializer(serializers.Serializer[Any]):
    """What came of one of them."""

    vm = serializers.UUIDField()
    changed = serializers.BooleanField()
    job = serializers.UUIDField(allow_null=True)
    refusal = BulkRefusalSerializer(allow_null=True)


class BulkControlSerializer(serializers.Serializer[Any]):
    """What came of all of them, in the order in which they were named."""

    changed = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkResultSerializer(many=True)
