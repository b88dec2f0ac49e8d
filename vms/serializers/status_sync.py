"""The status sync in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer

from ..models import SyncRun, SyncState


class SyncRequestSerializer(StrictSerializer):
    """The account to sync; without one, all accounts with VMs of the tenant."""

    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)


class SyncStateSerializer(ReadOnlyModelSerializer[SyncState]):
    """The freshness of one account and region."""

    account_name = serializers.CharField(source="account.name", read_only=True)

    class Meta:
        model = SyncState
        fields = ["account", "account_name", "region", "listed_at", "full_listed_at", "full_wanted_at"]


class SyncRegionsSerializer(serializers.Serializer[Any]):
    """The accounts and regions that will be synced."""

    regions = SyncStateSerializer(many=True)


class SyncRunSerializer(ReadOnlyModelSerializer[SyncRun]):
    """One run. The counts of a shared account are for staff alone, because they cover all tenants."""

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
        """Return the run, without counts and message when they would tell one tenant about others."""
        fields: dict[str, Any] = super().to_representation(run)
        scope = self.context.get("scope")
        if not (scope and run.account.is_owned_by(scope)):
            fields.update(dict.fromkeys(("synced", "updated", "skipped", "errors", "missing")), message="")
        return fields
