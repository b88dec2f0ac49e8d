"""Serializers of cloud accounts. A secret is written and never returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.serializers import PlainCharField, StrictModelSerializer, StrictSerializer
from security.endpoints import check_auth_url, check_ca_bundle
from tasks.serializers import JobSerializer

from ..clock_offsets import build_account_clock_warning
from ..credentials import (
    LOGIN_FIELDS,
    OPENSTACK_FIELDS,
    SECRET_REQUIRED,
    check_provider,
    find_form,
    is_secret_required,
    read_credentials,
    split_credentials,
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
            "options",
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

    def to_internal_value(self, data: Any) -> Any:
        """Accept the fields of the form under `credentials`, too, as accounts of other vendors have them."""
        given = data.get("credentials") if isinstance(data, dict) else None
        if isinstance(given, dict):
            if unknown := sorted(str(name)[:100] for name in given.keys() - {*OPENSTACK_FIELDS, "secret"}):
                message = _("Unknown field; known are: %(known)s.")
                known = ", ".join((*OPENSTACK_FIELDS, "secret"))
                raise serializers.ValidationError({"credentials": {unknown[0]: [message % {"known": known}]}})
            data = {**{name: value for name, value in data.items() if name != "credentials"}, **given}
        return super().to_internal_value(data)

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
        """Refuse a provider that is not registered, and another one than that of an account that exists."""
        if self.instance is not None and code != self.instance.provider:
            raise serializers.ValidationError(_("The cloud type of an account can't be changed."))
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
        return read_types(provider, codes)

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


class VendorAccountSerializer(StrictSerializer):
    """A request to enter or change an account of a vendor with a form of its own; `GET providers/` tells its fields.

    `credentials` are written, and its secrets never shown. Of an account that exists, what is left out stays.
    """

    name = PlainCharField(max_length=100)
    provider = PlainCharField(max_length=50)
    credentials = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=10_000, trim_whitespace=False)
    )
    endpoint = serializers.CharField(
        required=False, allow_blank=True, max_length=500, help_text="Only for a private cloud."
    )
    regions = serializers.ListField(
        child=PlainCharField(max_length=100), max_length=100, required=False, help_text="Empty: all."
    )
    resource_types = serializers.ListField(
        child=PlainCharField(max_length=30), max_length=200, required=False, help_text="Codes. Empty: all."
    )
    sync_interval_minutes = serializers.IntegerField(
        min_value=0,
        max_value=MAX_SYNC_INTERVAL_MINUTES,
        required=False,
        help_text="0: only when somebody asks.",
    )
    active = serializers.BooleanField(required=False)

    def validate_provider(self, code: str) -> str:
        """Refuse another provider than that of the account."""
        if self.instance is not None and code != self.instance.provider:
            raise serializers.ValidationError(_("The cloud type of an account can't be changed."))
        return code

    def validate_endpoint(self, url: str) -> str:
        """Refuse a URL where no cloud may be, and any for a vendor without endpoints of customers."""
        if url and not self._provider.takes_endpoint:
            raise serializers.ValidationError(_("Accounts of this cloud type have no endpoint of their own."))
        if url and (self.instance is None or self.instance.auth_url != url):
            try:
                check_auth_url(url)
            except DjangoValidationError as error:
                raise serializers.ValidationError(error.messages) from None
        return url

    def validate_regions(self, names: list[str]) -> list[str]:
        """Drop duplicates and keep the order."""
        return list(dict.fromkeys(names))

    def validate_credentials(self, given: dict[str, str]) -> dict[str, str]:
        """Refuse what the vendor's form does not have, and values that it does not allow."""
        values, errors = read_credentials(self._provider, given, is_new=self.instance is None)
        if errors:
            raise serializers.ValidationError(errors)
        return values

    def validate_resource_types(self, codes: list[str]) -> list[ResourceType]:
        """Return the resource types with some codes; refuse codes that the provider does not have."""
        return read_types(self._provider.code, codes)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of the account; `secrets` holds the given ones, which the service merges."""
        columns = dict(attrs)
        if "endpoint" in columns:
            columns["auth_url"] = columns.pop("endpoint")
        if "credentials" in columns:
            shown, secrets = split_credentials(self._provider, columns.pop("credentials"))
            if self._provider.identity in shown:
                columns["access_id"] = shown.pop(self._provider.identity)
            known = self.instance.options if self.instance is not None else {}
            columns["options"] = {name: value for name, value in {**known, **shown}.items() if value}
            columns["secrets"] = secrets
        return columns

    @property
    def _provider(self) -> Any:
        code = self.instance.provider if self.instance is not None else self.initial_data["provider"]
        return find_form(code)


def build_account_serializer(
    data: Any, *, account: CloudAccount | None = None, context: dict[str, Any]
) -> Any:
    """Return the serializer for a request to enter an account, or to change one: that of its vendor's form."""
    sent = data.get("provider") if isinstance(data, dict) else None
    code = account.provider if account is not None else sent if isinstance(sent, str) else ""
    kind = VendorAccountSerializer if find_form(code) else CloudAccountSerializer
    return kind(account, data=data, partial=account is not None, context=context)


def read_types(provider: str, codes: list[str]) -> list[ResourceType]:
    """Return the resource types of a provider with some codes. Raises a validation error for codes that it does not have."""
    found, unknown = find_types(provider, codes)
    if unknown:
        known = ResourceType.objects.filter(provider=provider).values_list("code", flat=True)
        raise serializers.ValidationError(
            _("'%(type)s' is no type of %(provider)s; known are: %(known)s.")
            % {"type": unknown[0], "provider": provider, "known": ", ".join(known)}
        )
    return found


class ProviderFieldSerializer(serializers.Serializer[Any]):
    """A field of the form of a cloud type."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # a column of ours, not DRF's label.
    hint = serializers.CharField()
    is_secret = serializers.BooleanField()
    required = serializers.BooleanField()  # type: ignore[assignment] # as above.
    max_length = serializers.IntegerField()


class ProviderSerializer(serializers.Serializer[Any]):
    """A type of cloud: the form of its accounts, its resource types, and the permissions that its syncs need.

    `policy` is the least policy, to be pasted into the vendor's console; empty where there is none. `is_managed` tells whether
    the portal creates and changes things there, or only lists them.
    """

    code = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment] # as above.
    is_installed = serializers.BooleanField()
    requirements = serializers.CharField(help_text="The file to install, where it is not installed.")
    is_managed = serializers.BooleanField()
    takes_endpoint = serializers.BooleanField()
    credentials = ProviderFieldSerializer(many=True)
    types = serializers.ListField(child=serializers.CharField())
    permissions = serializers.ListField(child=serializers.CharField())
    policy = serializers.CharField()


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
