"""Unmanaged resources of a cloud account, and requests to adopt them, to move a VM, and to release one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.serializers import PlainCharField, StrictSerializer
from cloudaccounts.models import CloudResource

from ..services.adoption import MAX_ADOPTED, AdoptionRequest
from ..services.adoption_inventory import Candidate, read_metadata
from ..services.unmanaged import AdoptionRule
from .control import BulkRefusalSerializer
from .vms import VirtualMachineSerializer

MAX_RULE_METADATA = 20


ADOPTED_TYPES = ["server", "volume"]


class UnmanagedResourceSerializer(serializers.Serializer[CloudResource]):
    """A server or volume that the portal does not manage, as the last sync has found it.

    The context has `project`, the account's, and `attached_servers`, by region and volume id.
    """

    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=ADOPTED_TYPES)
    cloud_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    region = serializers.CharField()
    flavor = serializers.CharField(source="attributes.flavor", default=None, allow_null=True)
    vcpus = serializers.IntegerField(source="attributes.vcpus", default=None, allow_null=True)
    memory_mb = serializers.IntegerField(source="attributes.memory_mb", default=None, allow_null=True)
    disk_gb = serializers.IntegerField(source="attributes.disk_gb", default=None, allow_null=True)
    size_gb = serializers.IntegerField(source="attributes.size_gb", default=None, allow_null=True)
    volume_type = serializers.CharField(source="attributes.volume_type", default=None, allow_null=True)
    server = serializers.SerializerMethodField(help_text="The id of the server that a volume is attached to.")
    addresses = serializers.SerializerMethodField()
    project = serializers.SerializerMethodField()
    metadata = serializers.SerializerMethodField()
    created_at = serializers.SerializerMethodField()
    last_seen_at = serializers.DateTimeField()
    missing_count = serializers.IntegerField()

    def get_server(self, resource: CloudResource) -> str | None:
        servers: dict[tuple[str, str], str] = self.context.get("attached_servers", {})
        return servers.get((resource.region, resource.cloud_id)) if resource.type == "volume" else None

    def get_addresses(self, resource: CloudResource) -> list[str]:
        return resource.addresses.split()

    def get_project(self, resource: CloudResource) -> str:
        return str(self.context.get("project", ""))

    def get_metadata(self, resource: CloudResource) -> dict[str, str]:
        return read_metadata(resource)

    def get_created_at(self, resource: CloudResource) -> datetime | None:
        """Return when the cloud has created it; None for a time that nobody can read."""
        try:
            return parse_datetime(str(resource.attributes.get("created_at") or ""))
        except ValueError:
            return None


class AdoptionRuleSerializer(StrictSerializer):
    """The conditions of a rule, all of which a server must meet. In `name`, `*` stands for any text."""

    project = PlainCharField(max_length=255, required=False)
    name = PlainCharField(max_length=255, required=False)
    metadata = serializers.DictField(
        child=PlainCharField(max_length=255, allow_blank=True), required=False, allow_empty=False
    )

    def validate_metadata(self, metadata: dict[str, str]) -> dict[str, str]:
        """Refuse more entries than a server could be told by, and names that no server has."""
        if len(metadata) > MAX_RULE_METADATA:
            message = _("At most %(most)s entries.") % {"most": MAX_RULE_METADATA}
            raise serializers.ValidationError(message, code="max_length")
        if any("\x00" in name or len(name) > 255 for name in metadata):
            raise serializers.ValidationError(_("A name has 1 to 255 characters."))
        return metadata

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a rule without a condition: it would select every server."""
        if not attrs:
            raise serializers.ValidationError(_("Enter a project, a name or metadata."))
        return attrs


class AdoptedIdsField(serializers.ListField):
    """The ids of servers or of volumes to adopt."""

    def __init__(self) -> None:
        super().__init__(
            child=PlainCharField(max_length=255),
            max_length=MAX_ADOPTED,
            required=False,
            error_messages={
                "max_length": _(
                    "At most {max_length} can be adopted at once. Send the rest in another request."
                )
            },
        )


class AdoptRequestSerializer(StrictSerializer):
    """What to adopt: up to 500 servers and volumes by `id` or `cloud_id`, or the servers that a rule selects."""

    servers = AdoptedIdsField()
    volumes = AdoptedIdsField()
    rule = AdoptionRuleSerializer(required=False)
    information_system = serializers.UUIDField()
    mode = serializers.ChoiceField(choices=["all", "valid"], default="all")
    dry_run = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a request that names nothing, and one that names objects beside a rule."""
        is_named = bool(attrs.get("servers") or attrs.get("volumes"))
        if "rule" in attrs and is_named:
            raise serializers.ValidationError(
                {"rule": [_("Send a rule, or servers and volumes, but not both.")]}
            )
        if "rule" not in attrs and not is_named:
            raise serializers.ValidationError({"servers": [_("Name servers or volumes, or send a rule.")]})
        count = len(attrs.get("servers", ())) + len(attrs.get("volumes", ()))
        if count > MAX_ADOPTED:
            message = _(
                "At most %(most)s servers and volumes can be adopted at once, and these are %(count)s. Send the rest in another request."
            )
            # The field that has more of them is the one to shorten.
            field = max(("servers", "volumes"), key=lambda name: len(attrs.get(name, ())))
            raise serializers.ValidationError({field: [message % {"most": MAX_ADOPTED, "count": count}]})
        return attrs


def build_adoption_request(params: dict[str, Any]) -> AdoptionRequest:
    """Return the validated data of `AdoptRequestSerializer` as the request of the service."""
    rule = params.get("rule")
    return AdoptionRequest(
        information_system=params["information_system"],
        servers=params.get("servers", ()),
        volumes=params.get("volumes", ()),
        rule=AdoptionRule(**rule) if rule is not None else None,
    )


class AdoptionResultSerializer(serializers.Serializer[Candidate]):
    """The outcome for one server or volume. `vm` and `volumes` are the ids of its rows, once they are written."""

    type = serializers.ChoiceField(choices=ADOPTED_TYPES)
    id = serializers.CharField()
    resource = serializers.SerializerMethodField()
    cloud_id = serializers.SerializerMethodField()
    name = serializers.SerializerMethodField()
    adopted = serializers.SerializerMethodField()
    vm = serializers.SerializerMethodField()
    volumes = serializers.SerializerMethodField()
    refusal = BulkRefusalSerializer(allow_null=True)

    def get_resource(self, candidate: Candidate) -> UUID | None:
        return candidate.resource.pk if candidate.resource else None

    def get_cloud_id(self, candidate: Candidate) -> str | None:
        return candidate.resource.cloud_id if candidate.resource else None

    def get_name(self, candidate: Candidate) -> str | None:
        return candidate.resource.name if candidate.resource else None

    def get_adopted(self, candidate: Candidate) -> bool:
        return bool(self.context.get("is_done")) and candidate.refusal is None

    def get_vm(self, candidate: Candidate) -> UUID | None:
        owner = candidate.server or candidate
        return owner.vm.pk if owner.vm is not None and self.get_adopted(candidate) else None

    def get_volumes(self, candidate: Candidate) -> list[UUID]:
        if not self.get_adopted(candidate):
            return []
        return [
            volume.pk for volume in (*candidate.volumes, *(row for row, _is_boot in candidate.linked_volumes))
        ]


class AdoptionNeedsSerializer(serializers.Serializer[Any]):
    """What the adopted objects count against the tenant's quotas."""

    vms = serializers.IntegerField()
    cpu_cores = serializers.IntegerField()
    memory_gb = serializers.IntegerField()
    disk_gb = serializers.IntegerField()


class AdoptionSerializer(serializers.Serializer[Any]):
    """The outcome of an adoption: the numbers of objects, and a result for each in the order of the request."""

    dry_run = serializers.BooleanField()
    adopted = serializers.IntegerField(help_text="After a dry run, those that would be adopted.")
    refused = serializers.IntegerField()
    needs = AdoptionNeedsSerializer()
    results = AdoptionResultSerializer(many=True)


class MoveSerializer(StrictSerializer):
    """The information system to move a VM to."""

    information_system = serializers.UUIDField()
    dry_run = serializers.BooleanField(default=False)


class MovedSerializer(serializers.Serializer[Any]):
    """A VM after a move; `changed` is false when it was there already, and after a dry run."""

    changed = serializers.BooleanField()
    vm = VirtualMachineSerializer()


class ReleaseSerializer(StrictSerializer):
    """A release has no options but the dry run."""

    dry_run = serializers.BooleanField(default=False)


class ReleasedSerializer(serializers.Serializer[Any]):
    """What was released: the ids in the cloud of the server and of its volumes."""

    released = serializers.BooleanField()
    id = serializers.UUIDField()
    name = serializers.CharField()
    openstack_id = serializers.CharField()
    volumes = serializers.ListField(child=serializers.CharField())
