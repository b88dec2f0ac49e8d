"""Runs of the status sync, as the API takes and shows them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.answers import AnswerSerializer
from api.serializers import StrictSerializer

from ..models import SyncRun, SyncState


class SyncRequestSerializer(StrictSerializer):
    """Which account is to be looked at; without one, all that have VMs of the tenant."""

    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


class SyncStateSerializer(AnswerSerializer[SyncState]):
    """How fresh the picture of one account and region is."""

    account_name = serializers.CharField(source="account.name", read_only=True)

    class Meta:
        model = SyncState
        fields = ["account", "account_name", "region", "listed_at", "full_listed_at", "full_wanted_at"]


class SyncAcceptedSerializer(serializers.Serializer[Any]):
    """The accounts and regions that will be looked at."""

    regions = SyncStateSerializer(many=True)


class SyncRunSerializer(AnswerSerializer[SyncRun]):
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
