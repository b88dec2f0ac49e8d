"""The interfaces of a VM, its security groups, and who can reach it, in the API."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.serializers import PlainCharField, StrictSerializer
from networks.rules import MAX_PORT
from tasks.serializers import JobSerializer

# Security groups of one port: Neutron's own practical limit is higher, and nobody reads more.
MAX_GROUPS = 10


class GroupOnPortSerializer(serializers.Serializer[Any]):
    """A security group of an interface. `id` is null for a group that does not belong to the tenant."""

    id = serializers.UUIDField(source="row.pk", allow_null=True, default=None)
    cloud_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)


class AddressOnPortSerializer(serializers.Serializer[Any]):
    """A floating IP that leads to an interface."""

    id = serializers.UUIDField(source="pk")
    address = serializers.CharField(allow_null=True)


class InterfaceSerializer(serializers.Serializer[Any]):
    """An interface of a VM: a port of a network, as the last sync or the last job has seen it."""

    id = serializers.CharField(source="port_id")
    network = serializers.CharField(source="network_id")
    network_name = serializers.CharField(allow_blank=True)
    fixed_ips = serializers.ListField(child=serializers.CharField())
    mac_address = serializers.CharField(allow_blank=True)
    status = serializers.CharField(allow_blank=True)
    is_port_security_enabled = serializers.BooleanField()
    security_groups = GroupOnPortSerializer(many=True)
    floating_ips = AddressOnPortSerializer(many=True)


class InterfacesSerializer(serializers.Serializer[Any]):
    """The interfaces of a VM."""

    interfaces = InterfaceSerializer(many=True)


class InterfacesJobSerializer(InterfacesSerializer):
    """The interfaces of a VM, and the job that changes them."""

    job = JobSerializer(allow_null=True)


class GroupListField(serializers.ListField):
    """Ids of security groups."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=serializers.UUIDField(), max_length=MAX_GROUPS, **kwargs)


class NewInterfaceSerializer(StrictSerializer):
    """A further interface of a VM. Without security groups it gets the project's group "default"."""

    network = PlainCharField(max_length=64)
    fixed_ip = PlainCharField(max_length=45, required=False, allow_blank=True)
    security_groups = GroupListField(required=False)


class SetSecurityGroupsSerializer(StrictSerializer):
    """The security groups that a VM is to have on all its interfaces, or on the one named by `port`."""

    security_groups = GroupListField(help_text="All of them; [] is allowed, and lets nothing in or out.")
    port = serializers.UUIDField(required=False)


class AttachFloatingIpSerializer(StrictSerializer):
    """The VM that a floating IP is to lead to, and its interface, if not the first free one with an IPv4 address."""

    vm = serializers.UUIDField()
    port = serializers.UUIDField(required=False)


class DetachFloatingIpSerializer(StrictSerializer):
    """The detachment of a floating IP takes no fields."""


class ReachabilityRequestSerializer(StrictSerializer):
    """The port in question, if it is one alone. Query parameters."""

    port = serializers.IntegerField(min_value=1, max_value=MAX_PORT, required=False)
    protocol = serializers.ChoiceField(choices=["tcp", "udp", "sctp"], default="tcp")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a protocol without a port."""
        if "port" not in attrs and "protocol" in getattr(self, "initial_data", {}):
            raise serializers.ValidationError({"port": [_("This field is required.")]})
        return attrs


class AccessSerializer(serializers.Serializer[Any]):
    """The traffic that one rule lets in, in words."""

    text = serializers.CharField()
    ports = serializers.CharField()
    remote = serializers.CharField()
    security_group = serializers.CharField()


class InterfaceReachabilitySerializer(serializers.Serializer[Any]):
    """The reachability of one interface."""

    interface = InterfaceSerializer()
    summary = serializers.CharField()
    accesses = AccessSerializer(many=True)


class ReachabilitySerializer(serializers.Serializer[Any]):
    """The reachability of a VM, or of one port of it, in the caller's language. `is_known` is false until a sync has seen its interfaces."""

    interfaces = InterfaceReachabilitySerializer(many=True)
    warnings = serializers.ListField(child=serializers.CharField())
    is_known = serializers.BooleanField()


class NetworkChoiceSerializer(StrictSerializer):
    """A network of a new VM, with an address of choice if wished."""

    network = PlainCharField(max_length=64)
    fixed_ip = PlainCharField(max_length=45, required=False, allow_blank=True)


class NetworkFieldsMixin(serializers.Serializer[Any]):
    """The fields of a new VM about its networks."""

    networks = serializers.ListField(
        child=NetworkChoiceSerializer(),
        min_length=1,
        max_length=8,
        required=False,
        help_text="Several networks, or one with an address of choice, in place of `network`.",
    )
    security_groups = GroupListField(
        required=False, help_text='Without them, the VM gets the group "default" of the cloud project.'
    )
    server_group = serializers.UUIDField(
        required=False, help_text="A server group of the same information system."
    )
    floating_network = PlainCharField(
        max_length=64,
        required=False,
        help_text="The external network from which a floating IP is taken for the VM.",
    )
