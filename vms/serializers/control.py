"""Requests for an action, a resize or a deletion, and their results."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.domain_errors import DomainError
from api.errors import status_of
from api.serializers import StrictSerializer
from tasks.serializers import JobSerializer

from .vms import VirtualMachineSerializer


class ActionSerializer(StrictSerializer):
    """An action to request."""

    action = serializers.CharField(max_length=50)
    hard = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class ResizeRequestSerializer(StrictSerializer):
    """The least size that a VM is resized to. Without a disk, at least the present one."""

    cpu_cores = serializers.IntegerField(min_value=1, max_value=64)
    memory_gb = serializers.IntegerField(min_value=1, max_value=512)
    disk_gb = serializers.IntegerField(min_value=10, max_value=10000, required=False)
    dry_run = serializers.BooleanField(default=False)


class RemovalSerializer(StrictSerializer):
    """The options of a deletion: whether to delete the volumes, and whether to force it. Query parameters."""

    volumes = serializers.ChoiceField(choices=["delete", "keep"], default="delete")
    force = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=False)


class ControlResultSerializer(serializers.Serializer[Any]):
    """The result of a request: the VM, and its job."""

    changed = serializers.BooleanField()
    vm = VirtualMachineSerializer()
    job = JobSerializer(allow_null=True)


class BulkActionSerializer(ActionSerializer):
    """An action to request on many VMs: on all of them or none, or on those that allow it."""

    MAX_IDS = 500

    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MAX_IDS)
    mode = serializers.ChoiceField(choices=["all", "valid"], default="all")


class BulkRefusalSerializer(serializers.Serializer[Any]):
    """The reason against the action on one of the VMs, as in the problem of a request for that VM alone."""

    status = serializers.SerializerMethodField()
    code = serializers.CharField()
    detail = serializers.CharField()

    def get_status(self, refusal: DomainError) -> int:
        """Return the HTTP status that the refusal would have in a request for one VM."""
        return status_of(refusal)


class BulkResultSerializer(serializers.Serializer[Any]):
    """The result for one of the VMs."""

    vm = serializers.UUIDField()
    changed = serializers.BooleanField()
    job = serializers.UUIDField(allow_null=True)
    refusal = BulkRefusalSerializer(allow_null=True)


class BulkControlResultSerializer(serializers.Serializer[Any]):
    """The results for all VMs, in the order of the request."""

    changed = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = BulkResultSerializer(many=True)
