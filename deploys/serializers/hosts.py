"""Serializers of hosts and deploy keys. A private key can be set and is never shown."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.serializers import StrictModelSerializer, StrictSerializer

from ..models import Host


class HostSerializer(StrictModelSerializer[Host]):
    """A machine that services run on. With a VM, name and address are optional and default to those of the VM."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    vm = serializers.UUIDField(source="vm_id", required=False, allow_null=True)
    vm_name = serializers.SerializerMethodField()
    ip = serializers.IPAddressField(required=False)

    class Meta:
        model = Host
        fields = [
            "id",
            "tenant",
            "hostname",
            "ip",
            "ssh_port",
            "user",
            "known_hosts",
            "vm",
            "vm_name",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "version", "created_at", "updated_at"]
        extra_kwargs = {"hostname": {"required": False}}
        validators: list[Any] = []

    def get_vm_name(self, host: Host) -> str | None:
        return host.vm.name if host.vm else None


class NewKeySerializer(StrictSerializer):
    """A private key in OpenSSH's format, without a passphrase."""

    private_key = serializers.CharField(
        max_length=20_000, trim_whitespace=False, write_only=True, help_text="Written, and never shown."
    )


class DeployKeySerializer(serializers.Serializer[Any]):
    """The public facts of a tenant's deploy key."""

    is_set = serializers.BooleanField()
    public_key = serializers.CharField(allow_null=True)
    fingerprint = serializers.CharField(allow_null=True)
    updated_by = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
