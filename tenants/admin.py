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


class MembershipForm(forms.ModelForm[Membership]):
    """A row that is there shows its other end as text: a choice in each row would cost queries each."""

    other_end: ClassVar[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:  # noqa: SLF001 - how Django itself tells a new row.
            self.fields[self.other_end] = forms.CharField(disabled=True, required=False)
            self.initial[self.other_end] = str(getattr(self.instance, self.other_end))

    def clean(self) -> dict[str, Any]:
        """The other end of a row that is there stays."""
        fields = super().clean() or self.cleaned_data
        if not self.instance._state.adding:  # noqa: SLF001
            fields[self.other_end] = getattr(self.instance, self.other_end)
        return fields


class TenantMembershipForm(MembershipForm):
    """On the page of a tenant."""

    other_end = "user"


class UserMembershipForm(MembershipForm):
    """On the page of a user."""

    other_end = "tenant"


class MembershipInline(admin.TabularInline[Membership, Any]):
    """The members of a tenant."""

    model = Membership
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With both of its ends, which each row names."""
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

    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role", "tenant"]
    search_fields = ["user__username", "tenant__name"]
    list_select_related = ["user", "tenant"]
    autocomplete_fields = ["user", "tenant"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    """Users, with the tenants they belong to."""

    inlines = [UserMembershipInline]
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), (_("Portal"), {"fields": ["language", "time_zone"]}))
    actions = ["end_credentials"]

    @admin.action(
        description=_("End all sessions and revoke all tokens of the chosen users"), permissions=["change"]
    )
    def end_credentials(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Move their epoch on: what they have signed in with before is no longer good."""
        if not request.user.is_superuser:
            users = users.filter(is_superuser=False)
        count = users.order_by().update(credentials_epoch=F("credentials_epoch") + 1)
        self.message_user(request, _("%(count)s users have to sign in again.") % {"count": count})

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Rights are given by superusers alone: who may change users could else give himself all of them."""
        fields = super().get_readonly_fields(request, obj)
        if request.user.is_superuser:
            return fields
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A superuser is changed by superusers alone, the password above all."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As for changing."""
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)


def _may_touch(request: HttpRequest, user: User | None) -> bool:
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
