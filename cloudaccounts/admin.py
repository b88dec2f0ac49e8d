"""Cloud accounts, resources and sync logs in the admin. A secret can be written and is never shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from api.domain_errors import DomainError
from api.form_fields import StrictJSONField, WriteOnlyFieldsAdmin
from security.endpoints import check_auth_url, check_ca_bundle
from tasks.admin import ReadOnlyAdmin, ReadOnlyInline
from tenants.models import User
from tenants.scoping import Role, Scope

from . import catalogue_admin, services  # noqa: F401 - importing registers the grants.
from .clock_offsets import build_account_clock_warning
from .credentials import (
    OPENSTACK_FIELDS,
    SECRET_REQUIRED,
    check_provider,
    find_form,
    is_secret_required,
)
from .models import (
    MANAGED_PROVIDER,
    CloudAccount,
    CloudResource,
    ComputeHost,
    ReleasedObject,
    ResourceChange,
    ResourceLink,
    ResourceType,
    SyncLog,
    SyncLogLine,
)
from .registry import type_label
from .services.account_status import AccountStatus, load_account_statuses


def _scope(request: HttpRequest) -> Scope:
    """Return the scope of the admin: staff, for all tenants."""
    return Scope(cast("User", request.user), None, Role.ADMIN, granted_role=Role.ADMIN)


def _build_list_field(**kwargs: Any) -> StrictJSONField:
    return StrictJSONField(kind=list, **kwargs)


class CloudAccountForm(forms.ModelForm[CloudAccount]):
    """The form of an account, with a secret that is written and never shown."""

    auth_url = forms.CharField(label=_("auth URL"), max_length=500)
    secret = forms.CharField(
        label=_("secret"),
        required=False,
        strip=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=_("Leave empty to keep the stored secret."),
    )

    # Not required: an empty selection keeps the present interface.
    interface = forms.ChoiceField(
        label=_("endpoint interface"), required=False, choices=CloudAccount.Interface.choices
    )

    class Meta:
        model = CloudAccount
        fields = [
            "name",
            "provider",
            "tenant",
            *OPENSTACK_FIELDS,
            "secret",
            "regions",
            "resource_types",
            "sync_interval_minutes",
            "active",
        ]

    def clean_provider(self) -> str:
        """Refuse a provider that is not registered, and one whose accounts have a form that is not this one."""
        code = self._validate_changed(check_provider, "provider")
        if code != MANAGED_PROVIDER and find_form(code) is not None:
            raise forms.ValidationError(
                _("Accounts of this cloud type are entered and changed on the portal's pages.")
            )
        return code

    def clean_auth_url(self) -> str:
        """Refuse a URL where no cloud may be; it is resolved only when it has changed."""
        return self._validate_changed(check_auth_url, "auth_url")

    def clean_interface(self) -> str:
        """Return the selected interface, or the present one."""
        selected: str = self.cleaned_data["interface"]
        return selected or self.instance.interface

    def clean_ca_bundle(self) -> str:
        """Refuse a text without certificates."""
        return self._validate_changed(check_ca_bundle, "ca_bundle")

    def _validate_changed(self, check: Callable[[str], None], name: str) -> str:
        value: str = self.cleaned_data[name].replace("\r\n", "\n")
        if name in self.changed_data or not self.instance.pk:
            check(value)
        return value

    def clean(self) -> dict[str, Any]:
        """Check the fields that depend on one another."""
        fields = super().clean() or {}
        if not fields.get("secret"):
            if not self.instance.encrypted_secret:
                self.add_error("secret", _("Enter the secret."))
            elif is_secret_required(frozenset(self.changed_data)):
                self.add_error("secret", SECRET_REQUIRED)
        selected = fields.get("resource_types") or ()
        foreign = [
            resource_type.code
            for resource_type in selected
            if resource_type.provider != fields.get("provider")
        ]
        if foreign:
            self.add_error(
                "resource_types",
                _("Not available for this cloud type: %(types)s.") % {"types": ", ".join(foreign)},
            )
        return fields


@admin.register(CloudAccount)
class CloudAccountAdmin(WriteOnlyFieldsAdmin[CloudAccount]):
    """Cloud accounts. A saved account is verified and then synced; the signal of the save writes its schedule."""

    form = CloudAccountForm
    list_display = [
        "name",
        "provider",
        "tenant",
        "auth_host",
        "active",
        "sync_interval_minutes",
        "last_run",
        "next_run",
        "fresh",
        "last_verified_at",
        "last_error",
    ]
    list_filter = ["active", "provider", "tenant"]
    search_fields = ["name", "auth_url", "access_id", "project"]
    list_select_related = ["tenant"]
    autocomplete_fields = ["tenant"]
    filter_horizontal = ["resource_types"]
    readonly_fields = ["last_verified_at", "last_error", "clock", "facts", "last_run", "next_run", "fresh"]
    actions = ["sync_now", "verify"]
    formfield_overrides = {models.JSONField: {"form_class": _build_list_field}}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Return the list, after loading the statuses of its page in one go."""
        changes = super().get_changelist_instance(request)
        self._statuses = load_account_statuses(list(changes.result_list))
        return changes

    def _get_status(self, account: CloudAccount) -> AccountStatus | None:
        known = getattr(self, "_statuses", {})
        if account.pk not in known and account.pk is not None:
            known = load_account_statuses([account])
        return known.get(account.pk)

    @admin.display(description=_("cloud"))
    def auth_host(self, account: CloudAccount) -> str:
        """Return the host of the auth URL."""
        return urlsplit(account.auth_url).netloc

    @admin.display(description=_("clock"))
    def clock(self, account: CloudAccount) -> str:
        """Return the warning about the cloud's clocks, if any."""
        return build_account_clock_warning(account)

    @admin.display(description=_("last run"))
    def last_run(self, account: CloudAccount) -> str:
        """Return when the schedule was last due."""
        return _format_time(self._get_status(account), "last_run_at")

    @admin.display(description=_("next run"))
    def next_run(self, account: CloudAccount) -> str:
        """Return when the schedule is due next; empty when it is disabled."""
        return _format_time(self._get_status(account), "next_run_at")

    @admin.display(description=_("fresh"), boolean=True)
    def fresh(self, account: CloudAccount) -> bool | None:
        """Return whether every type was synced within three intervals; None without a schedule."""
        account_status = self._get_status(account)
        if account_status is None or not account.active or not account.sync_interval_minutes:
            return None
        return not account_status.stale

    def save_model(self, request: HttpRequest, obj: CloudAccount, form: Any, change: bool) -> None:
        """Encrypt the secret if one was entered; every change increments the version."""
        if form.cleaned_data.get("secret"):
            obj.set_secret(form.cleaned_data["secret"])
        if change:
            obj.version += 1
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Verify the account, once the selected types are saved too."""
        super().save_related(request, form, formsets, change)
        changed = frozenset(form.changed_data) if change else services.CREDENTIAL_FIELDS
        services.handle_saved_account(form.instance, user=_scope(request).user, changed=changed)

    @admin.action(description=_("Sync selected accounts"), permissions=["change"])
    def sync_now(self, request: HttpRequest, accounts: QuerySet[CloudAccount]) -> None:
        """Request a sync of every type of each account."""
        logs = 0
        for account in accounts:
            try:
                logs += len(services.request_sync(scope=_scope(request), account_id=account.pk))
            except DomainError as refused:
                self.message_user(request, f"{account}: {refused.detail}", messages.WARNING)
        self.message_user(request, _("%(count)s syncs started.") % {"count": logs})

    @admin.action(description=_("Test connection of selected accounts"), permissions=["change"])
    def verify(self, request: HttpRequest, accounts: QuerySet[CloudAccount]) -> None:
        """Submit the verification of each account."""
        for account in accounts:
            services.verify_account(scope=_scope(request), account_id=account.pk)
        self.message_user(
            request, _("Testing the connection of %(count)s accounts.") % {"count": len(accounts)}
        )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return the accounts alone: their resources may be a hundred thousand rows."""
        return [str(account) for account in objs], {}, set(), []

    def delete_model(self, request: HttpRequest, obj: CloudAccount) -> None:
        """Submit the deletion by a job, which stops the syncs first."""
        self._remove(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CloudAccount]) -> None:
        """Submit the deletion of each account."""
        self._remove(request, list(queryset))

    def _remove(self, request: HttpRequest, accounts: list[CloudAccount]) -> None:
        for account in accounts:
            try:
                services.remove_account(scope=_scope(request), account_id=account.pk)
            except DomainError as refused:
                self.message_user(request, f"{account}: {refused.detail}", messages.ERROR)
            else:
                self.message_user(request, _("Deleting %(account)s.") % {"account": account})


def _format_time(account_status: AccountStatus | None, name: str) -> str:
    at = account_status.schedule[name] if account_status and account_status.schedule else None
    return date_format(timezone.localtime(at), "DATETIME_FORMAT") if at else ""


@admin.register(ResourceType)
class ResourceTypeAdmin(ReadOnlyAdmin):
    """The resource types that can be synced; read-only, because the code declares them."""

    list_display = ["provider", "code", "name", "order"]
    list_filter = ["provider"]
    search_fields = ["code", "name"]


class SyncLogLineInline(ReadOnlyInline):
    """The lines of a sync."""

    model = SyncLogLine
    fields = ["at", "level", "text"]


class ResourceChangeInline(ReadOnlyInline):
    """The changes that syncs have found."""

    model = ResourceChange
    fields = ["at", "log", "fields"]
    verbose_name_plural = _("resource changes")


class ResourceLinkInline(ReadOnlyInline):
    """The references of a resource."""

    model = ResourceLink
    fields = ["kind", "target_type", "target_cloud_id"]
    verbose_name_plural = _("links")


@admin.register(CloudResource)
class CloudResourceAdmin(ReadOnlyAdmin):
    """The resources that syncs have found in the accounts."""

    list_display = [
        "type_name",
        "name",
        "status",
        "account",
        "region",
        "cloud_id",
        "last_seen_at",
        "expired_at",
    ]
    list_filter = ["account", "region", "type", ("expired_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "=cloud_id", "addresses"]
    list_select_related = ["account"]
    inlines = [ResourceLinkInline, ResourceChangeInline]
    show_full_result_count = False

    @admin.display(description=_("type"), ordering="type")
    def type_name(self, resource: CloudResource) -> str:
        """Return the label of the type."""
        return type_label(resource.account.provider, resource.type)


@admin.register(ReleasedObject)
class ReleasedObjectAdmin(ReadOnlyAdmin):
    """The servers and volumes that tenants have released, and that the sweep for orphans leaves alone."""

    list_display = ["released_at", "kind", "name", "cloud_id", "account", "region", "tenant", "released_by"]
    list_filter = ["kind", "account", "tenant"]
    search_fields = ["name", "=cloud_id", "released_by"]
    list_select_related = ["account", "tenant"]
    show_full_result_count = False


@admin.register(SyncLog)
class SyncLogAdmin(ReadOnlyAdmin):
    """The logs of resource syncs, with their lines."""

    list_display = [
        "started_at",
        "ended_at",
        "account",
        "type",
        "state",
        "asked_by",
        "created",
        "updated",
        "unchanged",
        "missing",
        "expired",
        "held_back",
        "unreadable",
        "message",
    ]
    list_filter = ["state", "account__provider", "account", "type", "started_at"]
    list_select_related = ["account", "asked_by"]
    inlines = [SyncLogLineInline]
    actions = ["confirm_deletions"]
    show_full_result_count = False

    @admin.action(description=_("Confirm deletions on hold"), permissions=["accept"])
    def confirm_deletions(self, request: HttpRequest, logs: QuerySet[SyncLog]) -> None:
        """Sync again and expire whatever is missing then: a person has checked that it is gone."""
        accepted = 0
        for log in logs:
            try:
                services.accept_losses(scope=_scope(request), log_id=log.pk)
                accepted += 1
            except DomainError as refused:
                self.message_user(request, f"{log}: {refused.detail}", messages.WARNING)
        self.message_user(
            request, _("%(count)s syncs started; their deletions are confirmed.") % {"count": accepted}
        )

    def has_accept_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change accounts in the admin."""
        return request.user.has_perm("cloudaccounts.change_cloudaccount")


@admin.register(ComputeHost)
class ComputeHostAdmin(ReadOnlyAdmin):
    """The compute hosts that the last reading of each account found."""

    list_display = ["name", "account", "region", "zone", "is_up", "is_enabled", "server_count", "read_at"]
    list_filter = ["is_up", "is_enabled", "account"]
    search_fields = ["name", "hypervisor"]
    list_select_related = ["account"]
