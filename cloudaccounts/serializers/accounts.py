"""Serializers of cloud accounts. A secret is written and never returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import PlainCharField, StrictModelSerializer
from security.endpoints import check_auth_url, check_ca_bundle
from tasks.serializers import JobSerializer

from ..clock_offsets import build_account_clock_warning
from ..credentials import (
    LOGIN_FIELDS,
    SECRET_REQUIRED,
    check_provider,
    is_secret_required,
)
from ..models import CloudAccount, ResourceType
from ..models.accounts import MAX_SYNC_INTERVAL_MINUTES
from ..registry import type_label
from ..services.accounts import find_types

# Fields that only the owner of an account sees; a shared account is owned by the platform.
OWNER_ONLY_FIELDS = (*LOGIN_FIELDS, "facts", "last_error", "clock_offsets", "clock_warning")


class AccountScheduleSerializer(serializers.Serializer[Any]):
    """The account's schedule: whether it is enabled, and its runs."""

    enabled = serializers.BooleanField()
    last_run_at = serializers.DateTimeField(allow_null=True)
    next_run_at = serializers.DateTimeField(allow_null=True)


class TypeCodesField(serializers.ListField):
    """The codes of the resource types that an account has selected."""

    def to_representation(self, data: Any) -> list[str]:
        """Return the codes of the related rows."""
        return [resource_type.code for resource_type in data.all()]


class CloudAccountSerializer(StrictModelSerializer[CloudAccount]):
    """A cloud account. Of a shared one, only staff see more than its name and how it is synced."""

    secret = serializers.CharField(
        write_only=True, max_length=10_000, trim_whitespace=False, help_text="Written, and never shown."
    )
    tenant = serializers.CharField(source="tenant.slug", read_only=True, allow_null=True, default=None)
    auth_url = serializers.CharField(max_length=500)
    provider = PlainCharField(max_length=50, default="openstack")
    regions = serializers.ListField(
        child=PlainCharField(max_length=100), max_length=100, required=False, help_text="Empty: all."
    )
    resource_types = TypeCodesField(
        child=PlainCharField(max_length=30), max_length=200, required=False, help_text="Codes. Empty: all."
    )
    sync_interval_minutes = serializers.IntegerField(
        min_value=0,
        max_value=MAX_SYNC_INTERVAL_MINUTES,
        required=False,
        help_text="0: only when somebody asks.",
    )
    verification = serializers.ChoiceField(choices=CloudAccount.Verification.choices, read_only=True)
    schedule = serializers.SerializerMethodField()
    stale = serializers.SerializerMethodField()
    clock_warning = serializers.SerializerMethodField()

    class Meta:
        model = CloudAccount
        fields = [
            "id",
            "name",
            "provider",
            "tenant",
            *LOGIN_FIELDS,
            "secret",
            "regions",
            "resource_types",
            "sync_interval_minutes",
            "active",
            "facts",
            "verification",
            "last_verified_at",
            "last_error",
            "clock_offsets",
            "clock_warning",
            "schedule",
            "stale",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "id",
            "version",
            "verification",
            "last_verified_at",
            "last_error",
            "facts",
            "clock_offsets",
            "created_at",
            "updated_at",
        ]
        # The database checks uniqueness, per tenant; DRF's validator would check all tenants.
        validators: list[Any] = []

    @extend_schema_field(AccountScheduleSerializer(allow_null=True))
    def get_schedule(self, account: CloudAccount) -> dict[str, Any] | None:
        account_status = self.context["account_statuses"].get(account.pk)
        return account_status.schedule if account_status else None

    def get_stale(self, account: CloudAccount) -> bool:
        account_status = self.context["account_statuses"].get(account.pk)
        return bool(account_status and account_status.stale)

    def get_clock_warning(self, account: CloudAccount) -> str:
        return build_account_clock_warning(account)

    def validate_regions(self, names: list[str]) -> list[str]:
        """Drop duplicates and keep the order."""
        return list(dict.fromkeys(names))

    def validate_provider(self, code: str) -> str:
        """Refuse a provider that is not registered."""
        return self._validate_changed(check_provider, "provider", code)

    def validate_auth_url(self, url: str) -> str:
        """Refuse a URL where no cloud may be; it is resolved only when it has changed."""
        return self._validate_changed(check_auth_url, "auth_url", url)

    def validate_ca_bundle(self, pem: str) -> str:
        """Refuse a text without certificates."""
        # Browsers send CRLF; that alone is no change.
        return self._validate_changed(check_ca_bundle, "ca_bundle", pem.replace("\r\n", "\n"))

    def _validate_changed(self, check: Callable[[str], None], name: str, value: str) -> str:
        if self.instance is None or getattr(self.instance, name) != value:
            try:
                check(value)
            except DjangoValidationError as error:
                raise serializers.ValidationError(error.messages) from None
        return value

    def validate_resource_types(self, codes: list[str]) -> list[ResourceType]:
        """Return the resource types with some codes; refuse codes that the provider does not have."""
        sent = self.initial_data.get("provider")
        provider = sent if isinstance(sent, str) else self.instance.provider if self.instance else "openstack"
        found, unknown = find_types(provider, codes)
        if unknown:
            known = ResourceType.objects.filter(provider=provider).values_list("code", flat=True)
            raise serializers.ValidationError(
                _("'%(type)s' is no type of %(provider)s; known are: %(known)s.")
                % {"type": unknown[0], "provider": provider, "known": ", ".join(known)}
            )
        return found

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the fields that depend on one another."""
        if self.instance is not None and not attrs.get("secret"):
            changed = frozenset(
                name for name, value in attrs.items() if getattr(self.instance, name, None) != value
            )
            if is_secret_required(changed):
                raise serializers.ValidationError({"secret": [SECRET_REQUIRED]})
        return attrs

    def to_representation(self, account: CloudAccount) -> dict[str, Any]:
        """Return the account, with null for fields that only its owner sees."""
        shown: dict[str, Any] = super().to_representation(account)
        if not account.is_owned_by(self.context["scope"]):
            shown.update(dict.fromkeys(OWNER_ONLY_FIELDS))
        return shown


class TypeSummarySerializer(serializers.Serializer[Any]):
    """One type of an account: the number of its resources, and the result of its last sync."""

    type = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # a column of ours, not DRF's label.
    resources = serializers.IntegerField()
    log = serializers.IntegerField(allow_null=True)
    state = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    synced_at = serializers.DateTimeField(allow_null=True)


class CloudAccountDetailSerializer(CloudAccountSerializer):
    """A cloud account with a summary of each of its types."""

    types = serializers.SerializerMethodField()

    class Meta(CloudAccountSerializer.Meta):
        fields = [*CloudAccountSerializer.Meta.fields, "types"]

    @extend_schema_field(TypeSummarySerializer(many=True))
    def get_types(self, account: CloudAccount) -> list[dict[str, Any]]:
        return list(TypeSummarySerializer(self.context["summaries"], many=True).data)


class AccountAcceptedSerializer(serializers.Serializer[Any]):
    """The account, and the job that verifies or deletes it; null when no job is needed."""

    account = CloudAccountSerializer()
    job = JobSerializer(allow_null=True)


class ResourceTypeSerializer(serializers.ModelSerializer[ResourceType]):
    """A resource type that can be synced."""

    label = serializers.SerializerMethodField()  # type: ignore[assignment] # as above.

    class Meta:
        model = ResourceType
        fields = ["provider", "code", "label", "order"]

    def get_label(self, resource_type: ResourceType) -> str:
        return type_label(resource_type.provider, resource_type.code)
