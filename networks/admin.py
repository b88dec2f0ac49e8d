"""Security groups, floating IPs and server groups in the admin: to look at alone. They are changed by jobs, in the cloud too."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnlyAdmin

from .models import FloatingIp, SecurityGroup, ServerGroup


@admin.register(SecurityGroup)
class SecurityGroupAdmin(ReadOnlyAdmin):
    """Security groups of all tenants, with their rules."""

    list_display = ["name", "tenant", "account", "region", "status", "rule_count", "created_at"]
    list_filter = ["status", "account", "tenant"]
    search_fields = ["name", "=cloud_id", "tenant__name"]
    list_select_related = ["tenant", "account"]
    show_full_result_count = False

    @admin.display(description=_("Rules"))
    def rule_count(self, group: SecurityGroup) -> int:
        """Return the number of rules."""
        return len(group.rules)


@admin.register(FloatingIp)
class FloatingIpAdmin(ReadOnlyAdmin):
    """Floating IPs of all tenants. Those that are not attached show since when."""

    list_display = [
        "address",
        "tenant",
        "account",
        "network_name",
        "status",
        "vm",
        "unattached_since",
        "taken_at",
    ]
    list_filter = ["status", ("unattached_since", admin.EmptyFieldListFilter), "account", "tenant"]
    search_fields = ["=address", "=cloud_id", "=port_id", "tenant__name"]
    list_select_related = ["tenant", "account", "vm"]
    show_full_result_count = False


@admin.register(ServerGroup)
class ServerGroupAdmin(ReadOnlyAdmin):
    """Server groups of all tenants."""

    list_display = ["name", "policy", "information_system", "account", "region", "status", "created_at"]
    list_filter = ["status", "policy", "account"]
    search_fields = ["name", "=cloud_id", "information_system__name"]
    list_select_related = ["information_system", "account"]
    show_full_result_count = False
