"""The serializers of service accounts and their tokens."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from api.models import ApiToken
from api.serializers import PlainCharField, StrictSerializer
from api.token_limits import TokenScope
from tenants.scoping import Role

from .models import ServiceAccount

ADDRESSES_AT_MOST = 20


class ServiceAccountSerializer(serializers.ModelSerializer[ServiceAccount]):
    """A service account. `role` is that in its tenant; its tokens may have a lower one."""

    username = serializers.CharField(source="user.username", read_only=True)
    active = serializers.BooleanField(source="user.is_active", read_only=True)
    role = serializers.SerializerMethodField()
    created_by = serializers.CharField(
        source="created_by.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = ServiceAccount
        fields = ["id", "name", "username", "description", "role", "active", "created_by", "created_at"]

    def get_role(self, account: ServiceAccount) -> str:
        """Return the role; empty when the membership was removed."""
        roles = [
            member.role for member in account.user.memberships.all() if member.tenant_id == account.tenant_id
        ]
        return roles[0] if roles else ""


class NewServiceAccountSerializer(StrictSerializer):
    """A new service account."""

    name = serializers.SlugField(max_length=50)
    description = PlainCharField(max_length=500, required=False, allow_blank=True)
    role = serializers.ChoiceField(choices=Role.choices)


class ChangeServiceAccountSerializer(StrictSerializer):
    """What can be changed of a service account."""

    description = PlainCharField(max_length=500, required=False, allow_blank=True)
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    active = serializers.BooleanField(
        required=False, help_text="The tokens of an inactive account are refused."
    )


class NetworkField(serializers.CharField):
    """An address or a network, such as 192.0.2.0/24."""

    def to_internal_value(self, data: Any) -> str:
        """Return the network in its usual form."""
        text = super().to_internal_value(data)
        try:
            return str(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise serializers.ValidationError(
                _("'%(text)s' is no address and no network such as 192.0.2.0/24.") % {"text": text}
            ) from None


class NewServiceTokenSerializer(StrictSerializer):
    """A new token of a service account."""

    name = PlainCharField(max_length=100)
    role = serializers.ChoiceField(
        choices=Role.choices,
        required=False,
        help_text="At most the role of the account, which is the default.",
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=TokenScope.choices), min_length=1, max_length=len(TokenScope)
    )
    expires_at = serializers.DateTimeField(required=False, help_text="In API_TOKEN_DAYS if it is left out.")
    allowed_addresses = serializers.ListField(
        child=NetworkField(max_length=50),
        required=False,
        max_length=ADDRESSES_AT_MOST,
        help_text="Addresses and networks from which the token is accepted. Empty: from everywhere.",
    )

    def validate_scopes(self, scopes: list[str]) -> list[str]:
        """Return each scope once; all of them include reading."""
        return [scope.value for scope in TokenScope if scope in scopes or scope == TokenScope.READ]


class ServiceTokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token of a service account without the token itself."""

    created_at = serializers.DateTimeField(source="created", read_only=True)
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=TokenScope.choices), read_only=True)
    allowed_addresses = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "role",
            "scopes",
            "allowed_addresses",
            "created_at",
            "last_used_at",
            "expires_at",
        ]
        read_only_fields = fields


class CreatedServiceTokenSerializer(ServiceTokenSerializer):
    """A token that was just created, with the token itself, which is shown only once."""

    token = serializers.CharField(read_only=True)

    class Meta(ServiceTokenSerializer.Meta):
        fields = [*ServiceTokenSerializer.Meta.fields, "token"]
        read_only_fields = fields
