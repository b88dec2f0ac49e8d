"""Tenants, members, users and information systems in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import InformationSystem, Membership, Tenant, User


class MembershipRows(admin.TabularInline[Membership, Any]):
    """Who belongs where, to be read; a row's own page changes it. A choice of users in each row would cost a query each."""

    model = Membership
    extra = 0
    fields = ["user", "tenant", "role"]
    readonly_fields = ["user", "tenant"]
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        """With both of its ends, which each row names."""
        return super().get_queryset(request).select_related("user", "tenant")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Memberships are added on their own page."""
        return False


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin[Membership]):
    """Who belongs to which tenant, and in which role."""

    list_display = ["user", "tenant", "role", "created_at"]
    list_filter = ["role", "tenant"]
    search_fields = ["user__username", "tenant__name"]
    list_select_related = ["user", "tenant"]
    autocomplete_fields = ["user", "tenant"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin[User]):
    """Users, with the tenants they belong to."""

    inlines = [MembershipRows]
    list_display = ["username", "email", "is_active", "is_staff", "last_login"]
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), (_("Portal"), {"fields": ["language"]}))


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
    inlines = [MembershipRows]


@admin.register(InformationSystem)
class InformationSystemAdmin(admin.ModelAdmin[InformationSystem]):
    """Information systems."""

    list_display = ["name", "tenant", "owner", "default_account", "created_at"]
    list_filter = ["tenant"]
    search_fields = ["name", "owner", "description"]
    list_select_related = ["tenant", "default_account"]
    autocomplete_fields = ["tenant", "default_account"]
