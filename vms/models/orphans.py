"""Orphans: objects that the portal created in a cloud and that belong to no row."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount, ReleasedObject
from networks.models import FloatingIp, SecurityGroup, ServerGroup
from volumepool.models import Volume

from .ports import VmPort
from .virtual_machine import VirtualMachine


class Orphan(models.Model):
    """An object that the portal has created in a cloud, by its tag or marker, and that belongs to no row.

    The sweep (`cloudaccounts/sync/orphans.py`) confirms it at its second sighting. When it is also older than the longest
    creation it is reported, and deleted if `settings.ORPHANS_REMOVE` is on.
    """

    class Kind(models.TextChoices):
        SERVER = "server", _("server")
        VOLUME = "volume", _("volume")
        PORT = "port", _("port")
        SECURITY_GROUP = "security_group", _("security group")
        FLOATING_IP = "floating_ip", _("floating IP")
        SERVER_GROUP = "server_group", _("server group")

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="orphans", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    cloud_id = models.CharField(_("cloud ID"), max_length=64)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    seen = models.PositiveIntegerField(_("times seen"), default=1)
    made_at = models.DateTimeField(_("created"), null=True, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    reported_at = models.DateTimeField(_("reported"), null=True, blank=True)

    class Meta:
        ordering = ["-last_seen_at", "id"]
        verbose_name = _("orphan")
        verbose_name_plural = _("orphans")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "kind", "cloud_id"], name="orphan_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.cloud_id}"

    def has_row(self) -> bool:
        """Return whether a row has been bound to the object since it was listed, or it was released."""
        if ReleasedObject.objects.filter(cloud_id=self.cloud_id).exists():
            return True
        model, column = OWNERS[self.kind]
        return bool(model.objects.filter(**{column: self.cloud_id}).exists())


# The model whose rows own the objects of each kind, and its column with the id in the cloud, which is null until that exists.
OWNERS: dict[str, tuple[Any, str]] = {
    Orphan.Kind.SERVER: (VirtualMachine, "openstack_id"),
    Orphan.Kind.VOLUME: (Volume, "volume_id"),
    Orphan.Kind.PORT: (VmPort, "cloud_id"),
    Orphan.Kind.SECURITY_GROUP: (SecurityGroup, "cloud_id"),
    Orphan.Kind.FLOATING_IP: (FloatingIp, "cloud_id"),
    Orphan.Kind.SERVER_GROUP: (ServerGroup, "cloud_id"),
}
