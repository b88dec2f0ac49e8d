"""The operation log of VMs."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Exists, ExpressionWrapper, Q, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from tenants.models import User
from tenants.scoping import Role, Scope, TenantScopedQuerySet

from .virtual_machine import VirtualMachine


class VMOperationLogQuerySet(TenantScopedQuerySet):
    """Operation log entries of tenants."""

    def of_vm(self, scope: Scope, vm_id: UUID) -> Self:
        """Return the entries about a VM that a scope may read: one statement. Each has `is_former`.

        Entries stay with the tenant in which the operation happened, who may read them as before when the VM has moved on.
        The tenant that has the VM reads the former ones as well, as the history of its machine; but people, details and
        tasks of another tenant are nobody else's, so a reader must leave those out where `is_former` is true
        (`OperationLogSerializer`).
        """
        entries = self.filter(vm_id=vm_id)
        if scope.tenant is None or not scope.allows(Role.VIEWER, self.model):
            return entries.within(scope).annotate(is_former=Value(value=False))
        visible = VirtualMachine.objects.within(scope).filter(pk=vm_id)
        # A move has an entry in each of the two tenants; one is enough for a reader.
        of_former = Exists(visible) & ~Q(operation=VMOperationLog.Operation.MOVE)
        readable = entries.filter(Q(tenant=scope.tenant) | of_former)
        former = ExpressionWrapper(~Q(tenant=scope.tenant), output_field=models.BooleanField())
        return readable.annotate(is_former=former)


class VMOperationLog(models.Model):
    """An operation on a VM: who did it, and how it ended. Append-only.

    It keeps the VM's id and name, so it outlives the VM, and is written in the transaction that ends the command.
    """

    class Operation(models.TextChoices):
        CREATE = "create", _("Create")
        START = "start", _("Start")
        STOP = "stop", _("Stop")
        RESTART = "restart", _("Restart")
        PAUSE = "pause", _("Pause")
        UNPAUSE = "unpause", _("Unpause")
        SUSPEND = "suspend", _("Suspend")
        RESUME = "resume", _("Resume")
        SHELVE = "shelve", _("Shelve")
        UNSHELVE = "unshelve", _("Unshelve")
        RESIZE = "resize", _("Resize")
        CONFIRM_RESIZE = "confirm_resize", _("Confirm resize")
        REVERT_RESIZE = "revert_resize", _("Revert resize")
        CHANGE = "change", _("Edit")
        ATTACH = "attach", _("Attach volume")
        DETACH = "detach", _("Detach volume")
        ATTACH_INTERFACE = "attach_interface", _("Attach interface")
        DETACH_INTERFACE = "detach_interface", _("Detach interface")
        SECURITY_GROUPS = "security_groups", _("Change security groups")
        ATTACH_ADDRESS = "attach_address", _("Attach floating IP")
        DETACH_ADDRESS = "detach_address", _("Detach floating IP")
        SNAPSHOT = "snapshot", _("Create snapshot")
        REMOVE_SNAPSHOT = "remove_snapshot", _("Delete snapshot")
        CONSOLE = "console", _("Open console")
        PASSWORD = "password", _("Reset password")
        READ_PASSWORD = "read_password", _("Read password")
        CLEAR_PASSWORD = "clear_password", _("Clear password")
        RESCUE = "rescue", _("Rescue")
        UNRESCUE = "unrescue", _("Exit rescue")
        REBUILD = "rebuild", _("Rebuild")
        LIVE_MIGRATE = "live_migrate", _("Live migrate")
        ABORT_MIGRATION = "abort_migration", _("Abort live migration")
        MIGRATE = "migrate", _("Migrate")
        EVACUATE = "evacuate", _("Evacuate")
        REMOVE = "remove", _("Delete")
        BIN = "bin", _("Move to bin")
        RESTORE = "restore", _("Restore from bin")
        ADOPT = "adopt", _("Adopt")
        MOVE = "move", _("Move")
        RELEASE = "release", _("Release")
        RUNTIME = "runtime", _("Announce end date")
        SYNC = "sync", _("Sync")

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.CASCADE,
        related_name="+",
        db_index=False,  # operation_log_by_tenant begins with it.
        verbose_name=_("tenant"),
    )
    vm_id = models.UUIDField(_("VM ID"))
    vm_name = models.CharField(_("VM"), max_length=200)
    operation = models.CharField(_("operation"), max_length=20, choices=Operation.choices)
    operator = models.CharField(
        _("operator"), max_length=150, blank=True, default="", help_text=_("Empty: the system.")
    )
    detail = MessageField(_("detail"), blank=True, default="")
    success = models.BooleanField(_("success"))
    job_id = models.UUIDField(_("job"), null=True, blank=True)
    at = models.DateTimeField(_("time"), default=timezone.now)

    objects = VMOperationLogQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("operation")
        verbose_name_plural = _("operation log")
        indexes = [
            models.Index(fields=["vm_id", "-id"], name="operation_log_by_vm"),
            models.Index(fields=["tenant", "-id"], name="operation_log_by_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.vm_name}"

    @classmethod
    def of(
        cls,
        vm: VirtualMachine,
        operation: str,
        *,
        user: User | None = None,
        detail: str = "",
        success: bool = True,
        job_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> Self:
        """Return an entry about a VM that is still to be saved; without a user, of the system.

        It is for the VM's tenant, or for another one of its history: that of `tenant_id`.
        """
        return cls(
            tenant_id=tenant_id or vm.information_system.tenant_id,
            vm_id=vm.pk,
            vm_name=vm.name,
            operation=operation,
            operator=user.get_username() if user is not None else "",
            detail=detail,
            success=success,
            job_id=job_id,
        )
