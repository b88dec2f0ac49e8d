"""Volumes as the API shows them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
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
        help_text="What its status in the cloud allows: a job in flight and the role of who asks are told elsewhere."
    )
    problem = serializers.CharField(
        read_only=True,
        help_text="What is wrong with it: Nova and Cinder disagree, or the cloud has it no more.",
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
            "allowed_actions",
            "problem",
            "created_at",
        ]

    def get_allowed_actions(self, volume: Volume) -> list[str]:
        return list_allowed_actions(volume)

    def get_vm_name(self, volume: Volume) -> str | None:
        return volume.vm.name if volume.vm else None


class VolumeJobSerializer(serializers.Serializer[Any]):
    """The volume, and the job that changes or removes it; null when there was nothing to change."""

    volume = VolumeSerializer()
    job = JobSerializer(allow_null=True)


class ChangeVolumeSerializer(StrictSerializer):
    """The fields of a volume that can be changed at once."""

    name = CloudNameField(max_length=200)


class VolumeActionSerializer(StrictSerializer):
    """An action on a volume, with the fields that this action needs.

    `extend` needs `size_gb`, `snapshot` a `name`, `attach` a `vm`, `detach` nothing.
    """

    action = serializers.CharField(max_length=50)
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False)
    vm = serializers.UUIDField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The action is known, and has what it needs and nothing else."""
        actions = list_volume_actions()
        action = actions.get(attrs["action"])
        if action is None:
            message = _("There is no action '%(action)s'; there are: %(known)s.")
            shown = {"action": attrs["action"], "known": ", ".join(sorted(actions))}
            raise serializers.ValidationError({"action": [message % shown]})
        given = attrs.keys() - {"action"}
        errors: dict[str, list[Any]] = {
            name: [_("This field is required.")] for name in action.needs if name not in given
        }
        errors |= {
            name: [_("'%(action)s' does not take it.") % {"action": attrs["action"]}]
            for name in sorted(given - {*action.needs})
        }
        if errors:
            raise serializers.ValidationError(errors)
        return attrs


class VolumeActionJobSerializer(VolumeJobSerializer):
    """The volume, the job, and the snapshot when one is taken."""

    snapshot = VolumeSnapshotSerializer(required=False)


class NewVolumesSerializer(StrictSerializer):
    """Volumes: of a `type`, of a `size_gb`, or copies of a `snapshot`; exactly one of the first two, or the last.

    `volume_ids` goes with `type`: those that one has ("" for a new one), or a spare's that is wanted.
    """

    OF_A_TYPE: ClassVar[frozenset[str]] = frozenset({"volume_ids"})
    OF_A_SIZE: ClassVar[frozenset[str]] = frozenset(
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

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One way of saying what is wanted, and as many ids as places at the most."""
        if "type" not in attrs and not attrs.keys() & {"size_gb", "snapshot"}:
            message = _("Name a type, a size (size_gb), or a snapshot to copy.")
            raise serializers.ValidationError({"type": [message]})
        besides = attrs.keys() & (self.OF_A_SIZE if "type" in attrs else self.OF_A_TYPE)
        if besides:
            said = _("A type says that already.") if "type" in attrs else _("This goes with a type only.")
            raise serializers.ValidationError({name: [said] for name in sorted(besides)})
        if len(attrs.get("volume_ids", ())) > attrs["count"]:
            too_many = _("More ids than volumes are wanted (%(count)s).") % {"count": attrs["count"]}
            raise serializers.ValidationError({"volume_ids": [too_many]})
        return attrs


class SpareOptionSerializer(serializers.Serializer[Any]):
    """A spare that can be named in `volume_ids`."""

    volume_id = serializers.CharField()
    name = serializers.CharField()


class VolumeOptionSerializer(serializers.Serializer[Any]):
    """A type of volumes that an information system can have: how large they are, and what is ready."""

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
    """The volumes in the order in which they were wanted, and the job that sees to the new ones; null when none is."""

    volumes = VolumeSerializer(many=True)
    job = JobSerializer(allow_null=True)
