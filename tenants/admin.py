"""Tenants, members, users and information systems in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.utils.translation import gettext_lazy as _

from .models import InformationSystem, Membership, Tenant, User


class MembershipRows(admin.TabularInline[Membership, Any]):
    model = Membership
    extra = 0
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
