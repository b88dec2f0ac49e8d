"""Sync logs, their lines, and how a sync is asked for."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import PlainCharField, StrictSerializer

from ..models import SyncLog, SyncLogLine
from ..registry import type_label


class SyncLogSerializer(ReadOnlyModelSerializer[SyncLog]):
    """One sync of one type of one account. `regions` has of each "" or why it failed."""

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
    """A line, as it was appended."""

    class Meta:
        model = SyncLogLine
        fields = ["id", "at", "level", "text"]


class AccountSyncSerializer(StrictSerializer):
    """Which types to sync now; those that the account has chosen when none are named."""

    types = serializers.ListField(
        child=PlainCharField(max_length=30), min_length=1, max_length=200, required=False
    )

    def validate_types(self, codes: list[str]) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(codes))


class SyncLogsSerializer(serializers.Serializer[Any]):
    """The logs of what was asked for, new or joined; read their lines while they run."""

    logs = SyncLogSerializer(many=True)
