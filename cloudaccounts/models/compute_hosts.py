"""Compute hosts of clouds, for staff."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .accounts import CloudAccount


class ComputeHost(models.Model):
    """A compute host of a cloud, as the last reading found it. For staff alone: tenants never see hosts.

    The rows of an account are replaced by each reading (`commands/hosts.py`); there are none unless the
    account's user is an administrator of the cloud.
    """

    account = models.ForeignKey(
        CloudAccount,
        models.CASCADE,
        related_name="compute_hosts",
        db_index=False,
        verbose_name=_("cloud account"),
    )
    region = models.CharField(_("region"), max_length=100)
    # The name that services and migrations use; the hypervisor may have another.
    name = models.CharField(_("compute host"), max_length=255)
    hypervisor = models.CharField(_("hypervisor"), max_length=255, blank=True, default="")
    type = models.CharField(_("type"), max_length=100, blank=True, default="")
    zone = models.CharField(_("availability zone"), max_length=255, blank=True, default="")
    # Whether its compute service has reported lately, and whether new servers may be placed there.
    is_up = models.BooleanField(_("up"))
    is_enabled = models.BooleanField(_("enabled"))
    disabled_reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    # None in clouds that do not report the figure any more.
    server_count = models.PositiveIntegerField(_("servers"), null=True)
    vcpus = models.PositiveIntegerField(_("vCPUs"), null=True)
    vcpus_used = models.PositiveIntegerField(_("vCPUs used"), null=True)
    memory_mb = models.PositiveBigIntegerField(_("memory (MB)"), null=True)
    memory_mb_used = models.PositiveBigIntegerField(_("memory used (MB)"), null=True)
    # The names of its host aggregates.
    aggregates = models.JSONField(_("host aggregates"), default=list)
    read_at = models.DateTimeField(_("read at"))

    class Meta:
        ordering = ["region", "name", "hypervisor"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "region", "name", "hypervisor"], name="compute_host_once_per_region"
            )
        ]
        verbose_name = _("compute host")
        verbose_name_plural = _("compute hosts")

    def __str__(self) -> str:
        return self.name

    @property
    def memory_gib(self) -> int | None:
        """Return the memory in whole GiB."""
        return None if self.memory_mb is None else self.memory_mb // 1024

    @property
    def memory_used_gib(self) -> int | None:
        """Return the memory in use in whole GiB."""
        return None if self.memory_mb_used is None else self.memory_mb_used // 1024
