"""Floating IPs of tenants."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant

from .cloud_rows import CloudRow, CloudRowQuerySet


class FloatingIp(CloudRow):
    """A floating IP that a tenant has taken from an external network.

    `server_id` is the server that it leads to according to the cloud, also when that is no VM of the tenant's.
    """

    lock_name: ClassVar[str] = "floating-ip"

    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="floating_ips", verbose_name=_("tenant"), db_index=False
    )
    network_id = models.CharField(_("external network"), max_length=64)
    network_name = models.CharField(max_length=255, blank=True, default="")
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    description = models.CharField(_("description"), max_length=255, blank=True, default="")
    port_id = models.CharField(_("port"), max_length=64, blank=True, default="")
    fixed_address = models.CharField(_("fixed address"), max_length=64, blank=True, default="")
    server_id = models.CharField(max_length=64, blank=True, default="")
    vm = models.ForeignKey(
        "vms.VirtualMachine",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="floating_ips",
        verbose_name=_("attached to"),
    )
    taken_at = models.DateTimeField(_("taken"), default=timezone.now)
    # Since when it is attached to nothing; null while it is attached.
    unattached_since = models.DateTimeField(_("not attached since"), null=True, blank=True)

    objects = CloudRowQuerySet.as_manager()

    class Meta:
        ordering = ["address", "id"]
        verbose_name = _("floating IP")
        verbose_name_plural = _("floating IPs")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "cloud_id"], name="floating_ip_once"),
            models.CheckConstraint(condition=~models.Q(cloud_id=""), name="floating_ip_unbound_is_null"),
        ]
        indexes = [models.Index(fields=["tenant", "address", "id"], name="floating_ip_by_tenant")]

    def __str__(self) -> str:
        return self.address or str(self.pk)

    @property
    def is_attached(self) -> bool:
        """Return whether the cloud reports that the address leads to a port."""
        return bool(self.port_id)
