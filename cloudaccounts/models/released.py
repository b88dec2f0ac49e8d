"""Servers, with their volumes and ports, that the portal has released: they exist in the cloud, and no row manages them any more."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.scoping import TenantScopedQuerySet

from .accounts import CloudAccount


class ReleasedObjectQuerySet(TenantScopedQuerySet):
    """What tenants have released. Only platform administrators see it, in the admin."""


class ReleasedObject(models.Model):
    """A server, volume or port that a tenant has released from the portal, and that the cloud keeps.

    What the portal has created carries its tag and metadata for ever, because releasing sends no request to the cloud. This
    row tells such an object from an orphan, which the sweep deletes: it is written in the transaction that deletes the row
    of the VM or volume, and deleted in the one that adopts the object again. `manage.py check_restore` writes it for what a
    restored database has forgotten, until somebody adopts that.
    """

    class Kind(models.TextChoices):
        SERVER = "server", _("server")
        VOLUME = "volume", _("volume")
        PORT = "port", _("port")
        SECURITY_GROUP = "security_group", _("security group")
        FLOATING_IP = "floating_ip", _("floating IP")
        SERVER_GROUP = "server_group", _("server group")

    id = models.BigAutoField(primary_key=True)
    # The row outlives its account: where that is added again, the object still carries the portal's tag.
    account = models.ForeignKey(
        CloudAccount,
        models.SET_NULL,
        null=True,
        related_name="released_objects",
        verbose_name=_("cloud account"),
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    # Clouds assign unique ids, and two accounts may see the same project.
    cloud_id = models.CharField(_("cloud ID"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    # The row that the object had, and its tenant: if the same tenant adopts the object, the row gets its old id and history.
    row_id = models.UUIDField(editable=False)
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("tenant"),
    )
    released_by = models.CharField(_("released by"), max_length=150, blank=True, default="")
    released_at = models.DateTimeField(_("released"), default=timezone.now)

    objects = ReleasedObjectQuerySet.as_manager()

    class Meta:
        ordering = ["-released_at", "-id"]
        verbose_name = _("released resource")
        verbose_name_plural = _("released resources")

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.cloud_id}"
