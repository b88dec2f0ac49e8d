"""VMs, their operation log and the runs of the status sync in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from tasks.admin import ReadOnly

from .models import SyncRun, VirtualMachine, VMOperationLog


@admin.register(VirtualMachine)
class VirtualMachineAdmin(admin.ModelAdmin[VirtualMachine]):
    """VMs. What the cloud says of them is shown, not edited."""

    list_display = ["name", "information_system", "tenant", "account", "status", "ip_address", "observed_at"]
    list_filter = ["status", "information_system__tenant", "account", "data_center_type"]
    search_fields = ["name", "=openstack_id", "ip_address", "information_system__name"]
    list_select_related = ["information_system__tenant", "account"]
    autocomplete_fields = ["information_system", "account", "created_by"]
    readonly_fields = [
        "status",
        "wanted",
        "ip_address",
        "mac_address",
        "addresses",
        "fault",
        "last_start_time",
        "last_stop_time",
        "observed_at",
    ]
    show_full_result_count = False

    @admin.display(description=_("tenant"), ordering="information_system__tenant__name")
    def tenant(self, vm: VirtualMachine) -> str:
        """The tenant that it belongs to."""
        return str(vm.information_system.tenant)


@admin.register(VMOperationLog)
class VMOperationLogAdmin(ReadOnly):
    """Who did what to which VM."""

    list_display = ["at", "tenant", "vm_name", "operation", "operator", "success", "detail"]
    list_filter = ["operation", "success", "tenant"]
    search_fields = ["vm_name", "operator", "=vm_id", "=job_id"]
    list_select_related = ["tenant"]
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnly):
    """Runs of the status sync."""

    list_display = [
        "started_at",
        "ended_at",
        "account",
        "region",
        "state",
        "synced",
        "updated",
        "skipped",
        "errors",
        "missing",
        "message",
    ]
    list_filter = ["state", "account"]
    list_select_related = ["account"]
    show_full_result_count = False
