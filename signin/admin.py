"""Rules, and identities with a preview of what the rules do."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnlyAdmin

from .models import ExternalIdentity, Passkey, RoleRule, ServiceAccount, TotpDevice
from .services import second_factors
from .services.roles import RoleChange, plan_role_changes
from .waiting import Provider


class RoleRuleForm(forms.ModelForm[RoleRule]):
    """A rule, with the providers in the settings to choose from."""

    provider = forms.ChoiceField(label=_("provider"), choices=list)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        providers: list[Provider] = [*settings.OIDC_PROVIDERS.values(), *settings.LDAP_SERVERS.values()]
        choices = [(provider.key, provider.name) for provider in providers]
        # A rule of a provider that was taken out of the settings stays as it is.
        if self.instance.provider and self.instance.provider not in dict(choices):
            choices.append((self.instance.provider, self.instance.provider))
        self.fields["provider"] = forms.ChoiceField(label=_("provider"), choices=choices)


@admin.register(RoleRule)
class RoleRuleAdmin(admin.ModelAdmin[RoleRule]):
    """Rules that give roles to the groups of providers. They apply at the next sign-in of each user."""

    form = RoleRuleForm
    list_display = ["group", "provider", "tenant", "role", "created_at"]
    list_filter = ["provider", "role", "tenant"]
    search_fields = ["group", "tenant__name"]
    list_select_related = ["tenant"]
    autocomplete_fields = ["tenant"]


@admin.register(ExternalIdentity)
class ExternalIdentityAdmin(admin.ModelAdmin[ExternalIdentity]):
    """Users of providers. Deleting an identity lets the same person begin anew, as another user."""

    list_display = ["user", "provider", "subject", "created_at", "last_used_at"]
    list_filter = ["provider"]
    search_fields = ["user__username", "=subject"]
    list_select_related = ["user"]
    show_full_result_count = False
    readonly_fields = [
        "user",
        "provider",
        "issuer",
        "subject",
        "groups",
        "created_at",
        "last_used_at",
        "effect_of_rules",
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=_("effect of the rules at the next sign-in with these groups"))
    def effect_of_rules(self, identity: ExternalIdentity) -> str:
        """Return a list of what the rules would do now. Nothing is changed."""
        changes = plan_role_changes(identity.user, identity.provider, identity.groups)
        if not changes:
            return str(_("No rule of a group of this user."))
        lines = format_html_join(
            "", "<li>{}: {}</li>", ((change.tenant.name, _describe(change)) for change in changes)
        )
        return format_html("<ul>{}</ul>", lines)


class SecondFactorAdmin(admin.ModelAdmin[Any]):
    """Factors of users. Deleting one removes all factors of a user who has lost them, with the recovery codes."""

    search_fields = ["user__username"]
    list_select_related = ["user"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the factor may be deleted. Superusers alone may remove the factor of a superuser."""
        is_superusers = obj is not None and obj.user.is_superuser
        return super().has_delete_permission(request, obj) and (
            not is_superusers or bool(request.user.is_superuser)
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Remove the second factors of the user."""
        second_factors.remove(obj.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Remove the second factors of the users."""
        for device in queryset.select_related("user"):
            if self.has_delete_permission(request, device):
                second_factors.remove(device.user)


@admin.register(TotpDevice)
class TotpDeviceAdmin(SecondFactorAdmin):
    """Authenticator apps."""

    list_display = ["user", "confirmed_at", "created_at"]
    list_filter = [("confirmed_at", admin.EmptyFieldListFilter)]


@admin.register(Passkey)
class PasskeyAdmin(SecondFactorAdmin):
    """Passkeys."""

    list_display = ["user", "name", "created_at", "last_used_at"]


@admin.register(ServiceAccount)
class ServiceAccountAdmin(ReadOnlyAdmin):
    """Service accounts of all tenants, to look at alone: their tenants manage them."""

    list_display = ["name", "tenant", "user", "created_by", "created_at"]
    list_filter = ["tenant"]
    search_fields = ["name", "description", "tenant__name"]
    list_select_related = ["tenant", "user", "created_by"]
    show_full_result_count = False


def _describe(change: RoleChange) -> str:
    if change.is_kept:
        return _("%(role)s, given by a person: stays") % {
            "role": change.before.label if change.before else ""
        }
    if change.before is None:
        return _("becomes %(role)s") % {"role": change.after.label if change.after else ""}
    if change.after is None:
        return _("%(role)s ends") % {"role": change.before.label}
    if change.is_change:
        return _("%(before)s becomes %(after)s") % {
            "before": change.before.label,
            "after": change.after.label,
        }
    return _("%(role)s stays") % {"role": change.before.label}
