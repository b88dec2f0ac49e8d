"""Ports that the portal has made for VMs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from networks.models import CloudRow, CloudRowQuerySet


class VmPortQuerySet(CloudRowQuerySet):
    """Ports of VMs; their tenant is that of the VM's information system."""

    tenant_path: ClassVar[str] = "vm__information_system__tenant"


class VmPort(CloudRow):
    """A port that the portal has made and given to a VM.

    Nova keeps a port that it was given when it deletes the server, so the portal deletes the port.
    """

    lock_name: ClassVar[str] = "vm-port"

    vm = models.ForeignKey(
        "VirtualMachine", models.CASCADE, related_name="ports", verbose_name=_("virtual machine")
    )
    network_id = models.CharField(_("network"), max_length=64)

    objects = VmPortQuerySet.as_manager()

    class Meta:
        db_table = "networks_vmport"  # The room in which the table was created.
        verbose_name = _("port")
        verbose_name_plural = _("ports")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "cloud_id"], name="vm_port_once"),
            models.CheckConstraint(condition=~models.Q(cloud_id=""), name="vm_port_unbound_is_null"),
        ]

    def __str__(self) -> str:
        return self.cloud_id or str(self.pk)
