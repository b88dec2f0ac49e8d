"""Volumes of tenants."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from tenants.models import InformationSystem
from tenants.scoping import TenantScopedQuerySet

# The name under which `sync/watchers.py` looks at volumes for the task manager.
VOLUME_WATCHER = "volume"
# Our own word for what Cinder does not have any more; all other statuses are Cinder's.
GONE = "gone"


class CinderQuerySet(TenantScopedQuerySet):
    """Rows that follow an object of Cinder's. Every write moves `written_at`, so that no older listing overwrites it."""

    tenant_path: ClassVar[str] = "information_system__tenant"

    def update(self, **columns: Any) -> int:
        """Write columns, and when that was."""
        return super().update(**{"written_at": Now(), **columns})

    def mark_gone(self) -> int:
        """Write that the cloud has the objects of these rows no more; how many. For the sync, and for a job that was told so."""
        return self.update(status=GONE, missing_count=2)


class VolumeQuerySet(CinderQuerySet):
    """Volumes; their tenant is that of their information system."""

    def mark_gone(self) -> int:
        """Write that Cinder has them no more: they are on no server either."""
        nowhere = {"vm": None, "device": "", "is_boot": False, "server_id": "", "nova_server_id": None}
        return self.update(status=GONE, missing_count=2, extending_to_gb=None, updated_at=Now(), **nowhere)


class Volume(models.Model):
    """A tenant's volume. Cinder's object is bound by `volume_id`, which is empty until Cinder has made it.

    The row is written before the request goes out, so a volume of ours is never without one.
    """

    class Source(models.TextChoices):
        POOL = "pool", _("taken from the pool")
        CREATED = "created", pgettext_lazy("volume", "created")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem, models.PROTECT, related_name="volumes", verbose_name=_("information system")
    )
    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="volumes", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    volume_id = models.CharField(_("volume id"), max_length=64, null=True, blank=True, unique=True)
    name = models.CharField(_("name"), max_length=200)
    type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    # What it was asked for with; empty when Cinder chose.
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    size_gb = models.PositiveIntegerField(
        _("size (GB)"), validators=[MinValueValidator(1), MaxValueValidator(10000)]
    )
    # What it is being extended to: it counts against the quota from the moment it is asked for.
    extending_to_gb = models.PositiveIntegerField(null=True, blank=True, editable=False)
    # Cinder's own word, as it was last seen; "creating" until then, and `GONE` when Cinder has it no more.
    status = models.CharField(_("status"), max_length=50, default="creating")
    source = models.CharField(_("source"), max_length=10, choices=Source.choices, default=Source.CREATED)
    vm = models.ForeignKey(
        "vms.VirtualMachine",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="volumes",
        verbose_name=_("attached to"),
    )
    device = models.CharField(_("device"), max_length=50, blank=True, default="")
    # The server that has it by Cinder, also when that is no VM of the tenant's; and the one by Nova ("" for none), where a
    # listing of both has shown that they disagree.
    server_id = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    nova_server_id = models.CharField(max_length=64, null=True, blank=True, editable=False)
    is_boot = models.BooleanField(_("boot volume"), default=False)
    # Complete listings in a row without it: one is a rumour, two are news.
    missing_count = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    # When a column that follows Cinder was last written, by whom ever: an older listing leaves the row alone.
    written_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = VolumeQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("volume")
        verbose_name_plural = _("volumes")
        constraints = [
            models.CheckConstraint(condition=Q(size_gb__range=(1, 10000)), name="volume_size_gb_1_10000"),
            models.CheckConstraint(condition=~Q(volume_id=""), name="volume_unbound_is_null"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def lock_key(self) -> str:
        """The engine's lock on this volume."""
        return f"volume:{self.pk}"

    @property
    def problem(self) -> str:
        """Return a notice about the volume for people, besides its status; "" for none."""
        if self.status == GONE:
            return gettext("The cloud has it no more.")
        if self.views_differ:
            shown = {"nova": self.nova_server_id or "-", "cinder": self.server_id or "-"}
            return gettext("Nova and Cinder disagree about its server: %(nova)s, %(cinder)s.") % shown
        if self.server_id and self.vm_id is None and self.volume_id:
            shown = {"server": self.server_id}
            return gettext("It is on the server %(server)s, which is none of this tenant's VMs.") % shown
        return ""

    @property
    def views_differ(self) -> bool:
        """Return whether Nova and Cinder disagree about which server has it."""
        return self.nova_server_id is not None

    @property
    def polling_scope(self) -> str:
        """Return the polling scope of this volume: its account and region."""
        return f"{self.account_id}/{self.region}"
