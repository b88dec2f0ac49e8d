"""VMs, their operation log and the runs of the status sync in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from api.domain_errors import DomainError
from tasks.admin import ReadOnlyAdmin

from .models import (
    Orphan,
    SSHKey,
    SyncRun,
    SyncState,
    UserDataTemplate,
    VirtualMachine,
    VMOperationLog,
    VmPort,
    VMSnapshot,
)
from .services import remove_orphan
from .services.status_sync import accept_losses


@admin.register(VirtualMachine)
class VirtualMachineAdmin(admin.ModelAdmin[VirtualMachine]):
    """VMs. The columns that follow the cloud are read-only."""

    list_display = [
        "name",
        "information_system",
        "tenant",
        "account",
        "status",
        "ip_address",
        "deletion_protection",
        "bin_until",
        "observed_at",
    ]
    list_filter = [
        "status",
        "deletion_protection",
        ("bin_until", admin.EmptyFieldListFilter),
        "information_system__tenant",
        "account",
        "data_center_type",
    ]
    search_fields = ["name", "=openstack_id", "ip_address", "information_system__name"]
    list_select_related = ["information_system__tenant", "account"]
    autocomplete_fields = ["information_system", "account", "created_by"]
    readonly_fields = [
        "flavor_name",
        "image_name",
        "metadata",
        "tags",
        "binned_at",
        "bin_until",
        "status",
        "desired_state",
        "host",
        "ip_address",
        "mac_address",
        "addresses",
        "fault",
        "last_start_time",
        "last_stop_time",
        "observed_at",
    ]
    show_full_result_count = False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Return what a deletion of the records removes; VMs with deletion protection keep it from happening."""
        deleted, counts, needed, protected = super().get_deleted_objects(objs, request)
        protected = [*protected, *(str(vm) for vm in objs if vm.deletion_protection)]
        return deleted, counts, needed, protected

    def has_delete_permission(self, request: HttpRequest, obj: VirtualMachine | None = None) -> bool:
        """Refuse the deletion of a protected VM's record."""
        if obj is not None and obj.deletion_protection:
            return False
        return super().has_delete_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: VirtualMachine | None = None) -> list[str]:
        """Keep an existing VM where it is: a move takes its volumes along and counts the quota (`services/moves.py`)."""
        return [*self.readonly_fields, *(["information_system", "account"] if obj else [])]

    @admin.display(description=_("tenant"), ordering="information_system__tenant__name")
    def tenant(self, vm: VirtualMachine) -> str:
        """Return the tenant that the VM belongs to."""
        return str(vm.information_system.tenant)


@admin.register(VMOperationLog)
class VMOperationLogAdmin(ReadOnlyAdmin):
    """The operation log of VMs."""

    list_display = ["at", "tenant", "vm_name", "operation", "operator", "success", "detail"]
    list_filter = ["operation", "success", "tenant"]
    search_fields = ["vm_name", "operator", "=vm_id", "=job_id"]
    list_select_related = ["tenant"]
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    """Runs of the status sync."""

    list_display = [
        "started_at",
        "ended_at",
        "account",
        "region",
        "full",
        "state",
        "synced",
        "updated",
        "skipped",
        "errors",
        "missing",
        "message",
    ]
    list_filter = ["state", "full", "account"]
    list_select_related = ["account"]
    show_full_result_count = False


@admin.register(SyncState)
class SyncStateAdmin(ReadOnlyAdmin):
    """The freshness of each account and region."""

    list_display = [
        "account",
        "region",
        "listed_at",
        "full_listed_at",
        "full_wanted_at",
        "losses_accepted",
        "lease_until",
    ]
    list_filter = ["account", "losses_accepted"]
    list_select_related = ["account"]
    actions = ["confirm_deletions"]

    @admin.action(description=_("Confirm deletions on hold"), permissions=["accept"])
    def confirm_deletions(self, request: HttpRequest, states: QuerySet[SyncState]) -> None:
        """Let the next full run mark every missing VM: a person has checked that the servers are gone."""
        count = accept_losses(states)
        self.message_user(
            request,
            _("%(count)s regions will be synced, and their deletions confirmed.") % {"count": count},
        )

    def has_accept_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change sync states."""
        return request.user.has_perm("vms.change_syncstate")


@admin.register(VMSnapshot)
class VMSnapshotAdmin(ReadOnlyAdmin):
    """Snapshots of VMs."""

    list_display = ["name", "vm_name", "information_system", "account", "region", "status", "created_at"]
    list_filter = ["status", "account", "information_system__tenant"]
    search_fields = ["name", "vm_name", "=image_id"]
    list_select_related = ["information_system", "account"]
    show_full_result_count = False


@admin.register(SSHKey)
class SSHKeyAdmin(ReadOnlyAdmin):
    """Public SSH keys. A key that has to go, because its private half was lost, can be deleted here."""

    list_display = ["name", "user", "tenant", "type", "bits", "fingerprint", "last_used_at", "created_at"]
    list_filter = ["type", "tenant"]
    search_fields = ["name", "fingerprint", "user__username"]
    list_select_related = ["user", "tenant"]
    show_full_result_count = False

    def has_delete_permission(self, request: HttpRequest, obj: SSHKey | None = None) -> bool:
        """Allow the deletion to users who may delete keys."""
        return request.user.has_perm("vms.delete_sshkey")


@admin.register(UserDataTemplate)
class UserDataTemplateAdmin(ReadOnlyAdmin):
    """Templates of user data, without their texts."""

    list_display = ["name", "tenant", "updated_by", "updated_at"]
    list_filter = ["tenant"]
    search_fields = ["name"]
    list_select_related = ["tenant", "updated_by"]
    fields = ("name", "tenant", "updated_by", "created_at", "updated_at")
    readonly_fields = ("created_at", "updated_at")


@admin.register(Orphan)
class OrphanAdmin(ReadOnlyAdmin):
    """Objects in a cloud that the portal has created and has no row of."""

    list_display = ["kind", "name", "cloud_id", "account", "region", "made_at", "seen", "reported_at"]
    list_filter = ["kind", "account", ("reported_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "=cloud_id"]
    list_select_related = ["account"]
    actions = ["delete_in_cloud"]

    @admin.action(description=_("Delete selected orphans in their clouds"), permissions=["remove"])
    def delete_in_cloud(self, request: HttpRequest, orphans: QuerySet[Orphan]) -> None:
        """Submit a job for each orphan that was reported; an orphan that was not is left alone."""
        submitted = 0
        for orphan in orphans.filter(reported_at__isnull=False):
            try:
                remove_orphan(orphan_id=orphan.pk, user=request.user)  # type: ignore[arg-type]
                submitted += 1
            except DomainError as refused:
                self.message_user(request, f"{orphan}: {refused.detail}", messages.WARNING)
        self.message_user(request, _("Deleting %(count)s orphans.") % {"count": submitted})

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Allow deletion in the cloud to users who may delete orphans in the admin."""
        return request.user.has_perm("vms.delete_orphan")


@admin.register(VmPort)
class VmPortAdmin(ReadOnlyAdmin):
    """Ports that the portal has made for VMs, and deletes with them."""

    list_display = ["cloud_id", "vm", "network_id", "account", "region", "status", "created_at"]
    list_filter = ["status", "account"]
    search_fields = ["=cloud_id", "vm__name"]
    list_select_related = ["vm", "account"]
    show_full_result_count = False
