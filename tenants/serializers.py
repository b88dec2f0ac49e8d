"""The serializers of tenants, members, invitations and information systems."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import PlainCharField, StrictModelSerializer, StrictSerializer
from api.time_zones import validate_time_zone

from .models import InformationSystem, Invitation, Membership, Tenant
from .scoping import Role


class TenantSerializer(serializers.ModelSerializer[Tenant]):
    """A tenant; a quota of null is unlimited."""

    class Meta:
        model = Tenant
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "active",
            "quota_vms",
            "quota_cpu_cores",
            "quota_memory_gb",
            "quota_disk_gb",
            "time_zone",
            "second_factor_required",
            "created_at",
        ]


class ChangeTenantSerializer(StrictSerializer):
    """The fields of a tenant that its administrator may change."""

    time_zone = serializers.CharField(
        max_length=64,
        allow_blank=True,
        required=False,
        validators=[validate_time_zone],
        help_text="The zone of dates and of members without a zone: an IANA name, such as Europe/Berlin. Empty: the portal's.",
    )
    second_factor_required = serializers.BooleanField(
        required=False,
        help_text="Whether members without a second factor are refused until they have set one up.",
    )


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """The membership of a user in the tenant, with the role."""

    username = serializers.CharField(source="user.username", read_only=True)
    role_display = serializers.CharField(source="get_role_display", read_only=True)
    rule_provider = serializers.CharField(
        read_only=True,
        help_text="The identity provider whose rules gave the membership and may take it away. Empty: a person gave it.",
    )

    class Meta:
        model = Membership
        fields = ["id", "username", "role", "role_display", "rule_provider", "created_at"]


class NewMembershipSerializer(StrictSerializer):
    """The user to add or to invite, and the role."""

    username = PlainCharField(max_length=150)
    role = serializers.ChoiceField(choices=Role.choices)


class ChangeMembershipSerializer(StrictSerializer):
    """The member's new role."""

    role = serializers.ChoiceField(choices=Role.choices)


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An invitation, as the tenant's administrators see it."""

    role_display = serializers.CharField(source="get_role_display", read_only=True)
    invited_by = serializers.CharField(
        source="invited_by.username", read_only=True, allow_null=True, default=None
    )
    status = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = [
            "id",
            "username",
            "role",
            "role_display",
            "status",
            "invited_by",
            "created_at",
            "expires_at",
        ]

    @extend_schema_field(serializers.ChoiceField(choices=["pending", "declined", "expired"]))
    def get_status(self, invitation: Invitation) -> str:
        if invitation.declined_at is not None:
            return "declined"
        return "pending" if invitation.expires_at > timezone.now() else "expired"


class OwnInvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An invitation, as the invited user sees it."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    tenant_name = serializers.CharField(source="tenant.name", read_only=True)
    role_display = serializers.CharField(source="get_role_display", read_only=True)
    invited_by = serializers.CharField(
        source="invited_by.username", read_only=True, allow_null=True, default=None
    )

    class Meta:
        model = Invitation
        fields = [
            "id",
            "tenant",
            "tenant_name",
            "role",
            "role_display",
            "invited_by",
            "created_at",
            "expires_at",
        ]


class AcceptedInvitationSerializer(serializers.ModelSerializer[Membership]):
    """The membership that an invitation has become."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)
    role_display = serializers.CharField(source="get_role_display", read_only=True)

    class Meta:
        model = Membership
        fields = ["id", "tenant", "role", "role_display", "created_at"]


class QuotaUsageSerializer(serializers.Serializer[Any]):
    """Used and total of one quota; a total of null is unlimited."""

    used = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)


class UsageSerializer(serializers.Serializer[Any]):
    """The usage of a tenant's quotas."""

    vms = QuotaUsageSerializer()
    cpu_cores = QuotaUsageSerializer()
    memory_gb = QuotaUsageSerializer()
    disk_gb = QuotaUsageSerializer()


class InformationSystemSerializer(StrictModelSerializer[InformationSystem]):
    """An information system of a tenant."""

    name = PlainCharField(max_length=100)
    owner = PlainCharField(max_length=100, required=False, allow_blank=True)
    tenant = serializers.CharField(source="tenant.slug", read_only=True)

    class Meta:
        model = InformationSystem
        fields = [
            "id",
            "tenant",
            "name",
            "description",
            "owner",
            "default_account",
            "default_network",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "version", "created_at", "updated_at"]

    def validate_default_account(self, account: Any) -> Any:
        """Refuse an account that the scope does not show, with the error for one that does not exist."""
        scope = self.context["scope"]
        if account is not None and not type(account).objects.within(scope).filter(pk=account.pk).exists():
            raise serializers.ValidationError(
                _('Invalid pk "%(pk)s" - object does not exist.') % {"pk": account.pk}, code="does_not_exist"
            )
        return account
