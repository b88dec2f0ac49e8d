"""Floating IPs in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer

from ..models import FloatingIp


class FloatingIpSerializer(ReadOnlyModelSerializer[FloatingIp]):
    """A tenant's floating IP. It may be attached without a `vm`: to what is no VM of the tenant's."""

    network = serializers.CharField(source="network_id", read_only=True)
    port = serializers.CharField(source="port_id", read_only=True)
    vm_name = serializers.SerializerMethodField()
    is_attached = serializers.BooleanField(read_only=True)

    class Meta:
        model = FloatingIp
        fields = [
            "id",
            "cloud_id",
            "address",
            "description",
            "account",
            "region",
            "network",
            "network_name",
            "status",
            "is_attached",
            "port",
            "fixed_address",
            "vm",
            "vm_name",
            "taken_at",
            "unattached_since",
        ]

    def get_vm_name(self, floating_ip: FloatingIp) -> str | None:
        return floating_ip.vm.name if floating_ip.vm else None


class FloatingIpJobSerializer(serializers.Serializer[Any]):
    """The floating IP, and the job that changes it; null when there was nothing to change."""

    floating_ip = FloatingIpSerializer()
    job = JobSerializer(allow_null=True)


class NewFloatingIpSerializer(StrictSerializer):
    """A floating IP to take from an external network, which may be left out when there is one alone."""

    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, allow_blank=True)
    network = PlainCharField(max_length=64, required=False, allow_blank=True)
    description = CloudNameField(max_length=150, required=False, allow_blank=True)
