"""Requests to create and to change a VM, and the choices for them."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.serializers import CloudNameField, PlainCharField, PlainTextField, StrictSerializer
from api.tags import TagsField
from cloudaccounts.models import CloudAccount, CloudResource
from tasks.serializers import JobSerializer

from ..catalogue import os_names, os_version
from ..models import VirtualMachine
from .logins import LoginFieldsMixin
from .networks import NetworkFieldsMixin
from .vms import VirtualMachineSerializer

MAX_METADATA_ENTRIES = 50
# VMs of one request.
MAX_COUNT = 50


class MetadataField(serializers.DictField):
    """A server's metadata: texts of at most 255 characters. Names that begin with `portal_` are the portal's own."""

    child = CloudNameField(max_length=255, allow_blank=True)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        """Validate the metadata. Raises a validation error by key."""
        found: dict[str, str] = super().to_internal_value(data)
        if len(found) > MAX_METADATA_ENTRIES:
            message = _("At most %(most)s entries.") % {"most": MAX_METADATA_ENTRIES}
            raise serializers.ValidationError(message, code="max_length")
        errors = {}
        for name in found:
            if name.startswith("portal_"):
                errors[name] = [_("Names that begin with 'portal_' are the portal's own.")]
            elif not 1 <= len(name) <= 255 or not all(
                character.isalnum() or character in "-_:. " for character in name
            ):
                errors[name[:100]] = [_("A name has 1 to 255 letters, digits, spaces and - _ : .")]
        if errors:
            raise serializers.ValidationError(errors)
        return found


class ChangeVmSerializer(StrictSerializer):
    """The fields of a VM that can be changed. Name and metadata are changed on its server too."""

    name = CloudNameField(max_length=200, required=False)
    description = PlainTextField(max_length=2000, required=False, allow_blank=True)
    data_center_type = serializers.ChoiceField(choices=VirtualMachine.DataCenterType.choices, required=False)
    runtime_start = serializers.DateField(required=False, allow_null=True)
    runtime_end = serializers.DateField(required=False, allow_null=True)
    metadata = MetadataField(required=False)
    tags = TagsField(required=False, help_text="All tags of the VM. They replace those that it has.")
    deletion_protection = serializers.BooleanField(
        required=False, help_text="Operators may turn it on, and only administrators off."
    )


class NewVmSerializer(LoginFieldsMixin, NetworkFieldsMixin, ChangeVmSerializer):
    """A VM to create from the choices of `vms/options/`."""

    information_system = serializers.UUIDField()
    name = CloudNameField(max_length=200)
    cpu_cores = serializers.IntegerField(min_value=1, max_value=64)
    memory_gb = serializers.IntegerField(min_value=1, max_value=512)
    disk_gb = serializers.IntegerField(min_value=10, max_value=10000)
    os_type = PlainCharField(max_length=50, required=False, help_text="Required without `image`.")
    os_version = PlainCharField(max_length=50, required=False, allow_blank=True)
    image = PlainCharField(max_length=64, required=False, help_text="The ID of an image in the cloud.")
    network = PlainCharField(max_length=64, required=False, allow_blank=True)
    availability_zone = PlainCharField(max_length=100, required=False, allow_blank=True)
    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, allow_blank=True)
    boot_volume = serializers.BooleanField(
        default=False, help_text="Boot from a volume of `disk_gb`, not from the flavor's disk."
    )
    count = serializers.IntegerField(
        min_value=1,
        max_value=MAX_COUNT,
        required=False,
        help_text="Create several equal VMs; `{n}` in the name is replaced by the lowest free numbers.",
    )
    dry_run = serializers.BooleanField(default=False)


class VmsJobsSerializer(serializers.Serializer[Any]):
    """The VMs of a request with `count`, and the job that creates each, in the same order; no jobs after a dry run."""

    vms = VirtualMachineSerializer(many=True)
    jobs = JobSerializer(many=True)


class VmJobSerializer(serializers.Serializer[Any]):
    """The VM, and the job that creates it; no job after a dry run."""

    vm = VirtualMachineSerializer()
    job = JobSerializer(allow_null=True)


class _OptionSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="cloud_id")
    name = serializers.CharField()


class FlavorOptionSerializer(_OptionSerializer):
    """A flavor for a VM."""

    cpu_cores = serializers.IntegerField(source="attributes.vcpus")
    memory_gb = serializers.SerializerMethodField()
    disk_gb = serializers.IntegerField(source="attributes.disk_gb")

    def get_memory_gb(self, flavor: CloudResource) -> float:
        return float(flavor.attributes["memory_mb"]) / 1024


class ImageOptionSerializer(_OptionSerializer):
    """An image to boot from. `os` are the names by which `os_type` finds it."""

    os = serializers.SerializerMethodField()
    os_version = serializers.SerializerMethodField()
    min_disk_gb = serializers.IntegerField(source="attributes.min_disk_gb")
    min_memory_mb = serializers.IntegerField(source="attributes.min_memory_mb")
    is_snapshot = serializers.BooleanField(source="attributes.is_snapshot")

    def get_os(self, image: CloudResource) -> list[str]:
        return sorted(os_names(image))

    def get_os_version(self, image: CloudResource) -> str:
        return os_version(image)


class NetworkOptionSerializer(_OptionSerializer):
    """A network for a VM."""

    cidrs = serializers.ListField(child=serializers.CharField(), source="attributes.cidrs")


class NamedOptionSerializer(_OptionSerializer):
    """A choice that has a name alone: a zone, a volume type."""


class AccountOptionSerializer(serializers.Serializer[Any]):
    """A cloud account for a VM. One whose last verification failed is left out."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    verification = serializers.ChoiceField(choices=CloudAccount.Verification.choices)


class OptionsSerializer(serializers.Serializer[Any]):
    """The choices for a new VM of an information system. `missing` has, by field, what has to be selected first."""

    information_system = serializers.UUIDField(allow_null=True)
    accounts = AccountOptionSerializer(many=True)
    account = serializers.IntegerField(allow_null=True)
    regions = serializers.ListField(child=serializers.CharField())
    region = serializers.CharField(allow_blank=True)
    missing = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    flavors = FlavorOptionSerializer(many=True)
    images = ImageOptionSerializer(many=True)
    networks = NetworkOptionSerializer(many=True)
    zones = NamedOptionSerializer(many=True)
    volume_types = NamedOptionSerializer(many=True)
    default_network = serializers.CharField(allow_blank=True)


class OptionsRequestSerializer(StrictSerializer):
    """The information system, account and region of the choices; query parameters."""

    information_system = serializers.UUIDField(required=False)
    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, default="")
