"""What the VMs of tenants use now, as sums that the database keeps, and the history of it for the charts of pages."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import InformationSystem
from tenants.scoping import TenantScopedQuerySet

from .virtual_machine import VirtualMachine, VMStatus


class UsageSampleQuerySet(TenantScopedQuerySet):
    """Samples of tenants."""


class UsageSample(models.Model):
    """What a tenant used at a time: the quotas' figures, and its VMs by status. Written every hour, kept for 90 days."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.CASCADE,
        related_name="+",
        db_index=False,  # The constraint begins with it.
        verbose_name=_("tenant"),
    )
    at = models.DateTimeField(_("time"))
    vms = models.PositiveIntegerField(_("VMs"))
    cpu_cores = models.PositiveIntegerField(_("CPU cores"))
    memory_gb = models.PositiveIntegerField(_("memory (GB)"))
    disk_gb = models.PositiveBigIntegerField(_("disk (GB)"))
    running = models.PositiveIntegerField(_("running VMs"))
    stopped = models.PositiveIntegerField(_("stopped VMs"))
    error = models.PositiveIntegerField(_("VMs in error"))

    objects = UsageSampleQuerySet.as_manager()

    class Meta:
        verbose_name = _("usage sample")
        verbose_name_plural = _("usage history")
        constraints = [models.UniqueConstraint(fields=["tenant", "at"], name="usage_sample_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.at:%Y-%m-%d %H:%M}"


class VMUsageQuerySet(TenantScopedQuerySet):
    """Usage of VMs; its tenant is that of their information system."""

    tenant_path: ClassVar[str] = "information_system__tenant"

    def is_open_to(self, user: Any) -> bool:
        """Return whether the user is staff who may view all VMs, which these rows count."""
        return bool(VirtualMachine.objects.is_open_to(user))


class VMUsage(models.Model):
    """A part of what the VMs of an information system with one status use. The sum of the rows is the whole.

    The triggers of migration `0011_vm_usage` add a row in the transaction of each change of VMs, whoever writes it, so that
    no page has to read 100,000 VMs to count them. They only insert, because an update of one row by every change would make
    the transactions of a tenant wait for each other. `queries.merge_vm_usage` merges the rows of a system and a status.
    """

    IN_BIN = "in_bin"

    id = models.BigAutoField(primary_key=True)
    # Without a constraint: the row that a deletion adds may outlive the system, until it is merged.
    information_system = models.ForeignKey(
        InformationSystem, models.DO_NOTHING, related_name="vm_usage", db_constraint=False
    )
    # Of a VM in the bin it is IN_BIN: quotas count it, lists and charts do not.
    status = models.CharField(max_length=20, choices=[*VMStatus.choices, (IN_BIN, _("in the bin"))])
    vms = models.BigIntegerField()
    cpu_cores = models.BigIntegerField()
    memory_gb = models.BigIntegerField()
    disk_gb = models.BigIntegerField()

    objects = VMUsageQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("VM usage")
        verbose_name_plural = _("VM usage")

    def __str__(self) -> str:
        return f"{self.information_system_id} {self.status} {self.vms}"
