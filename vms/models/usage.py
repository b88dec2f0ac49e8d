"""The history of what tenants use, for the charts of pages."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.scoping import TenantScopedQuerySet


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
