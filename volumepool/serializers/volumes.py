"""Volumes in the API."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from api.tags import TagsField
from tasks.serializers import JobSerializer

from ..actions import list_volume_actions
from ..models import Volume
from ..volume_states import list_allowed_actions
from .snapshots import VolumeSnapshotSerializer


class VolumeSerializer(ReadOnlyModelSerializer[Volume]):
    """A tenant's volume."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    vm_name = serializers.SerializerMethodField()
    allowed_actions = serializers.SerializerMethodField(
        help_text="The actions that its status in the cloud allows, whatever job is in flight and whatever the caller's role is."
    )
    problem = serializers.CharField(
        read_only=True,
        help_text="A problem that the status does not show: Nova and Cinder disagree, or the cloud no longer has the volume.",
    )

    class Meta:
        model = Volume
        fields = [
            "id",
            "volume_id",
            "name",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "availability_zone",
            "type",
            "size_gb",
            "extending_to_gb",
            "status",
            "source",
            "vm",
            "vm_name",
            "device",
            "is_boot",
            "tags",
            "deletion_protection",
            "binned_at",
            "bin_until",
            "allowed_actions",
            "problem",
            "created_at",
        ]

    def get_allowed_actions(self, volume: Volume) -> list[str]:
        return list_allowed_actions(volume)

    def get_vm_name(self, volume: Volume) -> str | None:
        return volume.vm.name if volume.vm else None


class VolumeJobSerializer(serializers.Serializer[Any]):
    """The volume, and the job that changes or deletes it; null when there was nothing to change."""

    volume = VolumeSerializer()
    job = JobSerializer(allow_null=True)


class ChangeVolumeSerializer(StrictSerializer):
    """The fields of a volume that can be changed: at least one of them."""

    name = CloudNameField(max_length=200, required=False)
    tags = TagsField(required=False, help_text="All tags of the volume. They replace those that it has.")
    deletion_protection = serializers.BooleanField(
        required=False, help_text="Operators may turn it on, and only administrators off."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a change of nothing."""
        if not attrs:
            raise serializers.ValidationError({"name": [_("This field is required.")]})
        return attrs


class VolumeRemovalSerializer(StrictSerializer):
    """The options of a deletion. Query parameters."""

    permanent = serializers.BooleanField(
        default=False, help_text="Delete from the cloud at once, also a volume that is in the bin."
    )


class VolumeRestoreSerializer(StrictSerializer):
    """The restoring of a volume takes no fields."""


class VolumeActionSerializer(StrictSerializer):
    """An action on a volume, with the fields that this action needs.

    `extend` needs `size_gb`, `snapshot` a `name`, `attach` a `vm`, `detach` nothing.
    """

    action = serializers.CharField(max_length=50)
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False)
    vm = serializers.UUIDField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse an unknown action, missing fields, and fields that the action does not take."""
        actions = list_volume_actions()
        action = actions.get(attrs["action"])
        if action is None:
            message = _("Unknown action '%(action)s'. Known: %(known)s.")
            values = {"action": attrs["action"], "known": ", ".join(sorted(actions))}
            raise serializers.ValidationError({"action": [message % values]})
        given = attrs.keys() - {"action"}
        errors: dict[str, list[Any]] = {
            name: [_("This field is required.")] for name in action.needs if name not in given
        }
        errors |= {
            name: [_("The action '%(action)s' does not take this field.") % {"action": attrs["action"]}]
            for name in sorted(given - {*action.needs})
        }
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


class VolumeActionJobSerializer(VolumeJobSerializer):
    """The volume, the job, and the snapshot if the action creates one."""

    snapshot = VolumeSnapshotSerializer(required=False)


class NewVolumesSerializer(StrictSerializer):
    """New volumes: of a `type`, of a `size_gb`, or copied from a `snapshot`, which `size_gb` may enlarge.

    `volume_ids` are for a `type` alone: Cinder's IDs of volumes that the tenant has, of spares to claim, or "" for a new volume.
    """

    TYPE_FIELDS: ClassVar[frozenset[str]] = frozenset({"volume_ids"})
    SIZE_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"size_gb", "snapshot", "volume_type", "account", "region"}
    )

    information_system = serializers.UUIDField()
    type = PlainCharField(max_length=50, required=False)
    count = serializers.IntegerField(min_value=1, max_value=100, default=1)
    volume_ids = serializers.ListField(
        child=PlainCharField(max_length=64, allow_blank=True), max_length=100, required=False
    )
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    snapshot = serializers.UUIDField(required=False)
    volume_type = PlainCharField(max_length=100, required=False, allow_blank=True)
    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    region = PlainCharField(max_length=100, required=False, allow_blank=True)
    name = CloudNameField(max_length=190, required=False, allow_blank=True)
    tags = TagsField(required=False, help_text="The tags of each new volume.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a request without type, size and snapshot, with fields that exclude each other, or with too many IDs."""
        if "type" not in attrs and not attrs.keys() & {"size_gb", "snapshot"}:
            message = _("Select a type or enter a size.")
            raise serializers.ValidationError({"type": [message]})
        conflicting = attrs.keys() & (self.SIZE_FIELDS if "type" in attrs else self.TYPE_FIELDS)
        if conflicting:
            message = (
                _("The volume type defines this already.")
                if "type" in attrs
                else _("This is valid with a volume type only.")
            )
            raise serializers.ValidationError({name: [message] for name in sorted(conflicting)})
        if len(attrs.get("volume_ids", ())) > attrs["count"]:
            too_many = _("More IDs than volumes (%(count)s).") % {"count": attrs["count"]}
            raise serializers.ValidationError({"volume_ids": [too_many]})
        return attrs


class SpareOptionSerializer(serializers.Serializer[Any]):
    """A spare that `volume_ids` can name."""

    volume_id = serializers.CharField()
    name = serializers.CharField()


class VolumeOptionSerializer(serializers.Serializer[Any]):
    """A volume type that information systems can claim, with its size and its ready spares."""

    type = serializers.CharField()
    account = serializers.IntegerField()
    account_name = serializers.CharField()
    region = serializers.CharField(allow_blank=True)
    size_gb = serializers.IntegerField()
    volume_type = serializers.CharField(allow_blank=True)
    available = serializers.IntegerField()
    spares = SpareOptionSerializer(many=True)
    problem = serializers.CharField(allow_blank=True)


class VolumesJobSerializer(serializers.Serializer[Any]):
    """The volumes in the order of the request, and the job that processes the new ones; null when there is none."""

    volumes = VolumeSerializer(many=True)
    job = JobSerializer(allow_null=True)
