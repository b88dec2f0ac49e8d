"""What hangs on a VM: volumes, snapshots, its console; and the runs of the status sync."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import CloudNameField, PlainCharField, StrictSerializer
from tasks.serializers import JobSerializer
from volumepool.serializers import VolumeSerializer

from ..models import SyncRun, SyncState, VMSnapshot


class AttachSerializer(StrictSerializer):
    """A volume of the tenant's to be put on a VM, or the size of a new one."""

    volume = serializers.UUIDField(required=False)
    size_gb = serializers.IntegerField(min_value=1, max_value=10000, required=False)
    name = CloudNameField(max_length=200, required=False, allow_blank=True)
    type = PlainCharField(max_length=100, required=False, allow_blank=True)


class AttachedSerializer(serializers.Serializer[Any]):
    """The volume, and the job that changes it."""

    volume = VolumeSerializer()
    job = JobSerializer(allow_null=True)


class SnapshotSerializer(ReadOnlyModelSerializer[VMSnapshot]):
    """An image that was made of a VM; `image_id` is what a new VM names to boot from it."""

    information_system_name = serializers.CharField(source="information_system.name", read_only=True)
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = VMSnapshot
        fields = [
            "id",
            "name",
            "vm_id",
            "vm_name",
            "information_system",
            "information_system_name",
            "account",
            "region",
            "image_id",
            "status",
            "size_bytes",
            "created_by",
            "created_at",
        ]

    def get_created_by(self, snapshot: VMSnapshot) -> str | None:
        return snapshot.created_by.get_username() if snapshot.created_by else None


class NewSnapshotSerializer(StrictSerializer):
    """What a snapshot is to be called."""

    name = CloudNameField(max_length=200)


class SnapshotTakenSerializer(serializers.Serializer[Any]):
    """The snapshot, and the job that takes or removes it."""

    snapshot = SnapshotSerializer()
    job = JobSerializer()


class ReadConsoleSerializer(StrictSerializer):
    """What to read: the address of the screen, or the last lines of text."""

    reading = serializers.ChoiceField(choices=["url", "log"], default="url")
    lines = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class ConsoleSerializer(serializers.Serializer[Any]):
    """What was last read for who asks. An address lets its holder in, and is shown for some minutes."""

    url = serializers.CharField(allow_null=True)
    url_read_at = serializers.DateTimeField(allow_null=True)
    log = serializers.CharField(allow_null=True)
    log_read_at = serializers.DateTimeField(allow_null=True)


class ConsoleAnswerSerializer(ConsoleSerializer):
    """What is known, and the job that reads anew."""

    job = JobSerializer(allow_null=True)


class SyncRequestSerializer(StrictSerializer):
    """Which account is to be looked at; without one, all that have VMs of the tenant."""

    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


class SyncStateSerializer(ReadOnlyModelSerializer[SyncState]):
    """How fresh the picture of one account and region is."""

    account_name = serializers.CharField(source="account.name", read_only=True)

    class Meta:
        model = SyncState
        fields = ["account", "account_name", "region", "listed_at", "full_listed_at", "full_wanted_at"]


class SyncAcceptedSerializer(serializers.Serializer[Any]):
    """The accounts and regions that will be looked at."""

    regions = SyncStateSerializer(many=True)


class SyncRunSerializer(ReadOnlyModelSerializer[SyncRun]):
    """One run. Of an account that is shared, counts are for staff: they are of all tenants together."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    state_display = serializers.CharField(source="get_state_display", read_only=True)

    class Meta:
        model = SyncRun
        fields = [
            "id",
            "account",
            "account_name",
            "region",
            "full",
            "state",
            "state_display",
            "synced",
            "updated",
            "skipped",
            "errors",
            "missing",
            "message",
            "started_at",
            "ended_at",
        ]
        extra_kwargs = {
            name: {"allow_null": True} for name in ("synced", "updated", "skipped", "errors", "missing")
        }

    def to_representation(self, run: SyncRun) -> dict[str, Any]:
        """Without what tells one tenant of the others."""
        shown: dict[str, Any] = super().to_representation(run)
        scope = self.context.get("scope")
        if not (scope and run.account.is_owned_by(scope)):
            shown.update(dict.fromkeys(("synced", "updated", "skipped", "errors", "missing")), message="")
        return shown
