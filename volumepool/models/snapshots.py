"""Snapshots of tenants' volumes."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from pages.cloud_statuses import label_cloud_status
from tenants.models import InformationSystem

from .volumes import CinderQuerySet

# The name of the watcher of volume snapshots in the task manager (`sync/watchers.py`).
SNAPSHOT_WATCHER = "volume_snapshot"


class VolumeSnapshotQuerySet(CinderQuerySet):
    """Snapshots of volumes; their tenant is that of their information system."""


class VolumeSnapshot(models.Model):
    """A snapshot of a tenant's volume; new volumes can be copied from it.

    It is bound to Cinder's snapshot by `snapshot_id`, which is null until Cinder has created that. Cinder deletes no volume
    with snapshots, so the volume stays as long as they do.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem,
        models.PROTECT,
        related_name="volume_snapshots",
        verbose_name=_("information system"),
    )
    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="+", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    volume = models.ForeignKey(
        "volumepool.Volume", models.PROTECT, related_name="snapshots", verbose_name=_("volume")
    )
    snapshot_id = models.CharField(_("snapshot"), max_length=64, null=True, blank=True, unique=True)
    name = models.CharField(_("name"), max_length=200)
    size_gb = models.PositiveIntegerField(_("size (GB)"))
    # Cinder's status at the last sync: "creating" before the first one, `GONE` when Cinder no longer has the snapshot.
    status = models.CharField(_("status"), max_length=50, default="creating")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    # As in `Volume`.
    missing_count = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    written_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = VolumeSnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = _("volume snapshot")
        verbose_name_plural = _("volume snapshots")
        constraints = [
            models.CheckConstraint(condition=~Q(snapshot_id=""), name="volume_snapshot_unbound_is_null")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status_label(self) -> str:
        """Return the status in the language of the reader."""
        return label_cloud_status(self.status)

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this snapshot."""
        return f"volume-snapshot:{self.pk}"

    @property
    def polling_scope(self) -> str:
        """Return the polling scope of this snapshot: its account and region."""
        return f"{self.account_id}/{self.region}"
