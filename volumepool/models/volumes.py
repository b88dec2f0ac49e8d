"""Volumes of tenants."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from pages.cloud_statuses import label_cloud_status
from tenants.models import InformationSystem
from tenants.scoping import TenantScopedQuerySet

# The name of the watcher of volumes in the task manager (`sync/watchers.py`).
VOLUME_WATCHER = "volume"
# The status of an object that Cinder no longer has; all other statuses are Cinder's.
GONE = "gone"


class CinderQuerySet(TenantScopedQuerySet):
    """Rows that follow an object in Cinder. Every write moves `written_at`, so that no older listing overwrites it."""

    tenant_path: ClassVar[str] = "information_system__tenant"

    def update(self, **columns: Any) -> int:
        """Write columns, and the time of the write."""
        return super().update(**{"written_at": Now(), **columns})

    def mark_gone(self) -> int:
        """Write that the cloud no longer has the objects of these rows; return the number of rows."""
        return self.update(status=GONE, missing_count=2)


class VolumeQuerySet(CinderQuerySet):
    """Volumes; their tenant is that of their information system."""

    def outside_bin(self) -> Self:
        """Return the volumes that are not in the bin: what lists show."""
        return self.filter(binned_at=None)

    def mark_gone(self) -> int:
        """Write that Cinder no longer has the volumes, and that they are attached to no server."""
        detached = {"vm": None, "device": "", "is_boot": False, "server_id": "", "nova_server_id": None}
        return self.update(status=GONE, missing_count=2, extending_to_gb=None, updated_at=Now(), **detached)


class Volume(models.Model):
    """A tenant's volume, bound to Cinder's by `volume_id`, which is null until Cinder has created that.

    The row is written before the request is sent, so no volume that the portal creates is without a row.
    """

    class Source(models.TextChoices):
        POOL = "pool", _("served from pool")
        CREATED = "created", pgettext_lazy("volume", "created")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem, models.PROTECT, related_name="volumes", verbose_name=_("information system")
    )
    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="volumes", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    volume_id = models.CharField(_("volume ID"), max_length=64, null=True, blank=True, unique=True)
    name = models.CharField(_("name"), max_length=200)
    type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    # The zone that was requested; empty when Cinder chose one.
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    size_gb = models.PositiveIntegerField(
        _("size (GB)"), validators=[MinValueValidator(1), MaxValueValidator(10000)]
    )
    # The size to which it is being extended; it counts against the quota from the request on.
    extending_to_gb = models.PositiveIntegerField(null=True, blank=True, editable=False)
    # Cinder's status at the last sync: "creating" before the first one, `GONE` when Cinder no longer has the volume.
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
    # The server that it is attached to according to Cinder, also when that is no VM of the tenant's; and the server according
    # to Nova ("" for none), when the two disagree.
    server_id = models.CharField(max_length=64, blank=True, default="", db_default="", editable=False)
    nova_server_id = models.CharField(max_length=64, null=True, blank=True, editable=False)
    is_boot = models.BooleanField(_("boot volume"), default=False)
    # The portal's own, by key (`api/tags.py`); the cloud does not know them.
    tags = models.JSONField(_("tags"), default=dict, db_default={}, blank=True)
    # While it is on, the portal refuses to delete the volume.
    deletion_protection = models.BooleanField(_("deletion protection"), default=False, db_default=False)
    # When it was moved to the bin, null for a volume that is not in it; and when it is deleted there.
    binned_at = models.DateTimeField(_("in the bin since"), null=True, blank=True, editable=False)
    bin_until = models.DateTimeField(_("in the bin until"), null=True, blank=True, editable=False)
    # The number of complete listings in a row that did not show it: one may be a gap in the listing, after two it is gone.
    missing_count = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    # When a column that follows Cinder was last written, by the sync or anything else: an older listing does not change it.
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
            models.CheckConstraint(
                condition=Q(binned_at=None, bin_until=None)
                | Q(binned_at__isnull=False, bin_until__isnull=False),
                name="volume_bin_has_an_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["bin_until"], condition=Q(bin_until__isnull=False), name="volume_by_bin_until"
            ),
            GinIndex(fields=["tags"], name="volume_by_tag"),
            models.Index(fields=["information_system"], condition=~Q(tags={}), name="volume_with_tags"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_in_bin(self) -> bool:
        """Return whether the volume is in the bin: hidden from lists until it is restored or deleted."""
        return self.binned_at is not None

    @property
    def status_label(self) -> str:
        """Return the status in the language of the reader."""
        return label_cloud_status(self.status)

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this volume."""
        return f"volume:{self.pk}"

    @property
    def problem(self) -> str:
        """Return a problem of the volume that its status does not show; "" for none."""
        if self.status == GONE:
            return gettext("The cloud no longer has this volume.")
        if self.has_conflicting_servers:
            servers = {"nova": self.nova_server_id or "-", "cinder": self.server_id or "-"}
            return (
                gettext("Nova and Cinder report different servers for this volume: %(nova)s, %(cinder)s.")
                % servers
            )
        if self.server_id and self.vm_id is None and self.volume_id:
            message = gettext("The volume is attached to server %(server)s, which is no VM of this tenant.")
            return message % {"server": self.server_id}
        return ""

    @property
    def has_conflicting_servers(self) -> bool:
        """Return whether Nova and Cinder report different servers for the volume."""
        return self.nova_server_id is not None

    @property
    def polling_scope(self) -> str:
        """Return the polling scope of this volume: its account and region."""
        return f"{self.account_id}/{self.region}"
