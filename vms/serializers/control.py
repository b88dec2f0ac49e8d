"""Requests for an action, a resize or a deletion, and their results."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.domain_errors import DomainError
from api.errors import status_of
from api.serializers import CloudNameField, StrictSerializer
from api.tags import TagKeysField, TagsField
from tasks.serializers import JobSerializer

from ..services.bulk_actions import BULK_ACTIONS
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
    """The options of a deletion: whether to delete the volumes, to force it, and to pass the bin by. Query parameters."""

    volumes = serializers.ChoiceField(
        choices=["delete", "keep"],
        required=False,
        help_text="The default is `delete`; for a VM in the bin, what was chosen when it was moved there.",
    )
    force = serializers.BooleanField(default=False)
    permanent = serializers.BooleanField(
        default=False, help_text="Delete from the cloud at once, also a VM that is in the bin."
    )
    dry_run = serializers.BooleanField(default=False)


class RestoreSerializer(StrictSerializer):
    """The restoring of a VM takes no fields."""


class ControlResultSerializer(serializers.Serializer[Any]):
    """The result of a request: the VM, and its job."""

    changed = serializers.BooleanField()
    vm = VirtualMachineSerializer()
    job = JobSerializer(allow_null=True)


class BulkActionSerializer(StrictSerializer):
    """An action to request on many VMs, with the fields of that action: on all of them or none, or on those that allow it.

    `resize` needs `cpu_cores` and `memory_gb` and takes `disk_gb`; `snapshot` needs a `name`; `tag` takes `add_tags` and
    `remove_tags`; `move` needs an `information_system`; `remove` takes `volumes`, `force` and `permanent`; `restart` takes `hard`.
    """

    MAX_IDS = 500

    action = serializers.CharField(max_length=50)
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MAX_IDS)
    mode = serializers.ChoiceField(choices=["all", "valid"], default="all")
    dry_run = serializers.BooleanField(default=False)
    hard = serializers.BooleanField(required=False)
    cpu_cores = serializers.IntegerField(min_value=1, max_value=64, required=False)
    memory_gb = serializers.IntegerField(min_value=1, max_value=512, required=False)
    disk_gb = serializers.IntegerField(min_value=10, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False)
    add_tags = TagsField(required=False)
    remove_tags = TagKeysField(required=False)
    volumes = serializers.ChoiceField(choices=["delete", "keep"], required=False)
    force = serializers.BooleanField(required=False)
    permanent = serializers.BooleanField(required=False)
    information_system = serializers.UUIDField(required=False)

    SHARED_FIELDS = frozenset({"action", "ids", "mode", "dry_run"})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse missing fields, and fields that the action does not take. An unknown action is refused by the service."""
        kind = BULK_ACTIONS.get(attrs["action"])
        if kind is None:
            return attrs
        errors: dict[str, list[Any]] = {
            name: [_("This field is required.")] for name in kind.needs if name not in attrs
        }
        if attrs["action"] == "tag" and not (attrs.get("add_tags") or attrs.get("remove_tags")):
            errors["add_tags"] = [_("Enter tags to add or to remove.")]
        foreign = attrs.keys() - self.SHARED_FIELDS - {*kind.needs, *kind.takes}
        errors |= {
            name: [_("The action '%(action)s' does not take this field.") % {"action": attrs["action"]}]
            for name in sorted(foreign)
        }
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


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
