"""Serializers of grants."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer
from tenants.models import Tenant

from ..models import CatalogueGrant, CatalogueKind, CloudAccount


class CatalogueGrantSerializer(ReadOnlyModelSerializer[CatalogueGrant]):
    """A grant. `object_name` is "" for a policy, for a match, and for an object that the cloud no longer has."""

    account_name = serializers.CharField(source="account.name", read_only=True)
    tenant_name = serializers.SerializerMethodField()
    object = serializers.CharField(source="cloud_id", read_only=True)
    object_name = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()

    class Meta:
        model = CatalogueGrant
        fields = [
            "id",
            "tenant",
            "tenant_name",
            "account",
            "account_name",
            "kind",
            "object",
            "object_name",
            "match",
            "note",
            "by_upgrade",
            "created_by",
            "created_at",
        ]

    def get_tenant_name(self, grant: CatalogueGrant) -> str | None:
        return grant.tenant.name if grant.tenant else None

    def get_created_by(self, grant: CatalogueGrant) -> str | None:
        return grant.created_by.username if grant.created_by else None

    def get_object_name(self, grant: CatalogueGrant) -> str:
        names: dict[tuple[int, str], str] = self.context["object_names"]
        return names.get((grant.account_id, grant.cloud_id), "")


class CreateGrantSerializer(StrictSerializer):
    """A new grant: of one object by its id in the cloud, or of all that match a pattern of names or `tag:` and a tag."""

    tenant: serializers.Field[Any, Any, Any, Any] = serializers.PrimaryKeyRelatedField(
        queryset=Tenant.objects.all(), allow_null=True
    )
    account: serializers.Field[Any, Any, Any, Any] = serializers.PrimaryKeyRelatedField(
        queryset=CloudAccount.objects.all()
    )
    kind = serializers.ChoiceField(choices=CatalogueKind.choices)
    object = serializers.CharField(max_length=255, required=False)
    match = serializers.CharField(max_length=255, required=False)
    note = serializers.CharField(max_length=255, required=False, allow_blank=True, default="")
