"""Cloud accounts in the admin. A secret goes in and never comes out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnly

from .addresses import check_auth_url
from .models import CloudAccount, CloudResource, SyncLog
from .services import sync_soon


class CloudAccountForm(forms.ModelForm[CloudAccount]):
    """An account, with a secret that is written and never shown."""

    auth_url = forms.URLField(label=_("auth URL"), max_length=500, assume_scheme="https")
    secret = forms.CharField(
        label=_("secret"),
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text=_("Empty: the stored one stays."),
    )

    class Meta:
        model = CloudAccount
        fields = [
            "name",
            "provider",
            "tenant",
            "auth_url",
            "credential_kind",
            "access_id",
            "secret",
            "project",
            "user_domain",
            "project_domain",
            "ca_bundle",
            "regions",
            "active",
        ]

    def clean_auth_url(self) -> str:
        """Refuse addresses that the portal must not be sent to."""
        url: str = self.cleaned_data["auth_url"]
        check_auth_url(url)
        return url

    def clean(self) -> dict[str, Any]:
        """A new account needs a secret."""
        fields = super().clean() or {}
        if not fields.get("secret") and not self.instance.encrypted_secret:
            self.add_error("secret", _("A new account needs its secret."))
        return fields


@admin.register(CloudAccount)
class CloudAccountAdmin(admin.ModelAdmin[CloudAccount]):
    """Cloud accounts."""

    form = CloudAccountForm
    list_display = ["name", "provider", "tenant", "auth_host", "active", "last_verified_at", "last_error"]
    list_filter = ["active", "provider", "tenant"]
    search_fields = ["name", "auth_url", "access_id", "project"]
    list_select_related = ["tenant"]
    autocomplete_fields = ["tenant"]
    readonly_fields = ["last_verified_at", "last_error"]

    @admin.display(description=_("cloud"))
    def auth_host(self, account: CloudAccount) -> str:
        """The host of the auth URL, which is enough in a list."""
        return urlsplit(account.auth_url).netloc

    def save_model(self, request: HttpRequest, obj: CloudAccount, form: Any, change: bool) -> None:
        """Encrypt the secret if one was typed."""
        if form.cleaned_data.get("secret"):
            obj.set_secret(form.cleaned_data["secret"])
        super().save_model(request, obj, form, change)
        if obj.active:
            # A new account can be chosen from at once, not only after the next round of the schedule.
            sync_soon(obj)


@admin.register(CloudResource)
class CloudResourceAdmin(ReadOnly):
    """What the syncs have found in the accounts."""

    list_display = ["type", "name", "status", "account", "region", "cloud_id", "last_seen_at", "expired_at"]
    list_filter = ["type", "account", "region", ("expired_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "=cloud_id"]
    list_select_related = ["account"]
    show_full_result_count = False


@admin.register(SyncLog)
class SyncLogAdmin(ReadOnly):
    """How the resources were synced."""

    list_display = [
        "started_at",
        "ended_at",
        "account",
        "type",
        "state",
        "created",
        "updated",
        "unchanged",
        "expired",
        "message",
    ]
    list_filter = ["state", "type", "account"]
    list_select_related = ["account"]
    show_full_result_count = False
