"""Server groups: Nova keeps their VMs on one host, or on different ones."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import InformationSystem

from .cloud_rows import CloudRow, CloudRowQuerySet

# What is left of Nova's 255 characters beside a marker.
MAX_NAME_IN_CLOUD = 170


class ServerGroupQuerySet(CloudRowQuerySet):
    """Server groups; their tenant is that of their information system."""

    tenant_path: ClassVar[str] = "information_system__tenant"


class ServerGroup(CloudRow):
    """A server group of an information system. VMs join it at their creation, and cannot leave."""

    class Policy(models.TextChoices):
        ANTI_AFFINITY = "anti-affinity", _("on different hosts")
        SOFT_ANTI_AFFINITY = "soft-anti-affinity", _("on different hosts, if possible")
        AFFINITY = "affinity", _("on the same host")
        SOFT_AFFINITY = "soft-affinity", _("on the same host, if possible")

    lock_name: ClassVar[str] = "server-group"

    information_system = models.ForeignKey(
        InformationSystem,
        models.PROTECT,
        related_name="server_groups",
        verbose_name=_("information system"),
    )
    name = models.CharField(_("name"), max_length=200)
    policy = models.CharField(_("policy"), max_length=30, choices=Policy.choices)

    objects = ServerGroupQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("server group")
        verbose_name_plural = _("server groups")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "cloud_id"], name="server_group_once"),
            models.CheckConstraint(condition=~models.Q(cloud_id=""), name="server_group_unbound_is_null"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def cloud_name(self) -> str:
        """Return the name in the cloud: Nova keeps nothing else, so the marker is part of it. It has at most 255 characters."""
        return f"{self.name[:MAX_NAME_IN_CLOUD]} [{self.marker}]"
