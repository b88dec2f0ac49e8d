"""Tenants, members, users and information systems in the admin."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import InformationSystem, Invitation, Membership, Tenant, User


class GivenMembershipForm(forms.ModelForm[Membership]):
    """A membership that a person gives or changes: from then on, the rules of providers leave it as it is."""

    def save(self, commit: bool = True) -> Any:
        """Save the membership as one that a person gave."""
        if self.has_changed():
            self.instance.rule_provider = ""
        return super().save(commit)


class MembershipForm(GivenMembershipForm):
    """A membership on the page of its user or tenant.

    An existing row shows the other end as text: a select field in each row would cost queries for each row.
    """

    other_end: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:  # noqa: SLF001 - as Django itself recognizes a new row.
            self.fields[self.other_end] = forms.CharField(disabled=True, required=False)
            self.initial[self.other_end] = str(getattr(self.instance, self.other_end))

    def clean(self) -> dict[str, Any]:
        """Return the cleaned fields; the other end of an existing row is not changed."""
        fields = super().clean() or self.cleaned_data
        if not self.instance._state.adding:  # noqa: SLF001
            fields[self.other_end] = getattr(self.instance, self.other_end)
        return fields


class TenantMembershipForm(MembershipForm):
    """A membership on the page of its tenant."""

    other_end = "user"


class UserMembershipForm(MembershipForm):
    """A membership on the page of its user."""

    other_end = "tenant"


class MembershipInline(admin.TabularInline[Membership, Any]):
    """The memberships of a tenant or of a user."""

    model = Membership
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """Return the memberships with user and tenant, which each row shows."""
        return super().get_queryset(request).select_related("user", "tenant")


class TenantMembershipInline(MembershipInline):
    """The members of a tenant."""

    form = TenantMembershipForm
    autocomplete_fields = ["user"]


class UserMembershipInline(MembershipInline):
    """The tenants of a user."""

    form = UserMembershipForm
    autocomplete_fields = ["tenant"]


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin[Membership]):
    """Memberships of tenants, with their roles."""

    form = GivenMembershipForm
    list_display = ["user", "tenant", "role", "rule_provider", "created_at"]
    list_filter = ["role", "rule_provider", "tenant"]
    search_fields = ["user__username", "tenant__name"]
    list_select_related = ["user", "tenant"]
    autocomplete_fields = ["user", "tenant"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    """Users, with their memberships."""

    inlines = [UserMembershipInline]
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
    fieldsets = (
        *(DjangoUserAdmin.fieldsets or ()),
        (_("Portal"), {"fields": ["language", "time_zone", "theme"]}),
    )
    actions = ["end_credentials"]

    @admin.action(
        description=_("End all sessions and revoke all tokens of the selected users"), permissions=["change"]
    )
    def end_credentials(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Increment the epoch of the users, which ends their sessions and tokens. Superusers are ended by superusers alone."""
        if not request.user.is_superuser:
            users = users.filter(is_superuser=False)
        count = users.order_by().update(credentials_epoch=F("credentials_epoch") + 1)
        self.message_user(request, _("%(count)s users have to sign in again.") % {"count": count})

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Return the read-only fields: superusers alone grant permissions, or a user administrator could grant them to themselves."""
        fields = super().get_readonly_fields(request, obj)
        if request.user.is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether the user may be changed. Superusers alone may change a superuser, above all the password."""
        return super().has_change_permission(request, obj) and _can_edit(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Return whether the user may be deleted, as in `has_change_permission`."""
        return super().has_delete_permission(request, obj) and _can_edit(request, obj)


def _can_edit(request: HttpRequest, user: User | None) -> bool:
    return user is None or not user.is_superuser or bool(request.user.is_superuser)


@admin.register(Tenant)
class TenantAdmin(admin.ModelAdmin[Tenant]):
    """Tenants with their quotas and members."""

    list_display = [
        "name",
        "slug",
        "active",
        "quota_vms",
        "quota_cpu_cores",
        "quota_memory_gb",
        "quota_disk_gb",
    ]
    list_filter = ["active"]
    search_fields = ["name", "slug", "description"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [TenantMembershipInline]


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin[Invitation]):
    """Invitations: created by tenants, viewed and withdrawn here."""

    list_display = ["username", "tenant", "role", "invited_by", "created_at", "expires_at", "declined_at"]
    list_filter = ["role", "tenant"]
    search_fields = ["username", "tenant__name"]
    list_select_related = ["tenant", "invited_by"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(InformationSystem)
class InformationSystemAdmin(admin.ModelAdmin[InformationSystem]):
    """Information systems."""

    list_display = ["name", "tenant", "owner", "default_account", "created_at"]
    list_filter = ["tenant"]
    search_fields = ["name", "owner", "description"]
    list_select_related = ["tenant", "default_account"]
    autocomplete_fields = ["tenant", "default_account"]
