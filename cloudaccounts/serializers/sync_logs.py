"""Serializers of sync logs, their lines, and the request of a sync."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import PlainCharField, StrictSerializer

from ..log_lines import format_line
from ..models import SyncLog, SyncLogLine
from ..registry import type_label


class SyncLogSerializer(ReadOnlyModelSerializer[SyncLog]):
    """One sync of one type of one account. `regions` holds for each region "" or the reason why it failed."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    provider = serializers.CharField(source="account.provider", read_only=True)
    type_display = serializers.SerializerMethodField()
    state_display = serializers.CharField(source="get_state_display", read_only=True)
    asked_by = serializers.SerializerMethodField()

    class Meta:
        model = SyncLog
        fields = [
            "id",
            "account",
            "account_name",
            "provider",
            "type",
            "type_display",
            "state",
            "state_display",
            "asked_by",
            "created",
            "updated",
            "unchanged",
            "expired",
            "missing",
            "held_back",
            "unreadable",
            "losses_accepted",
            "regions",
            "message",
            "started_at",
            "ended_at",
        ]

    def get_type_display(self, log: SyncLog) -> str:
        return type_label(log.account.provider, log.type)

    def get_asked_by(self, log: SyncLog) -> str | None:
        return log.asked_by.username if log.asked_by else None


class SyncLogLineSerializer(ReadOnlyModelSerializer[SyncLogLine]):
    """A line of a sync log."""

    text = serializers.SerializerMethodField()

    class Meta:
        model = SyncLogLine
        fields = ["id", "at", "level", "text"]

    def get_text(self, line: SyncLogLine) -> str:
        return format_line(line)


class AccountSyncSerializer(StrictSerializer):
    """The types to sync now; without them, all that the account has selected."""

    types = serializers.ListField(
        child=PlainCharField(max_length=30), min_length=1, max_length=200, required=False
    )

    def validate_types(self, codes: list[str]) -> list[str]:
        """Drop duplicates and keep the order."""
        return list(dict.fromkeys(codes))


class SyncLogsSerializer(serializers.Serializer[Any]):
    """The logs of the requested syncs, new or already running; their lines can be read while they run."""

    logs = SyncLogSerializer(many=True)
