"""Pools of spare volumes, the spares, and the history of claims."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Self

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from cloudaccounts.models import CloudAccount

# More spares in one pool than this are a typing error.
MAX_DESIRED = 1000

# The longest pause of a pool, before a random share is added; a longer one was written by a clock that ran ahead.
MAX_PAUSE = timedelta(hours=1)
MAX_SPREAD_PAUSE = 1.5 * MAX_PAUSE


class VolumePool(models.Model):
    """A type of volumes in one account, and how many spares of it are kept ready.

    It has every property of a volume that cannot be changed after its creation.
    """

    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="volume_pools", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    type = models.CharField(
        _("type"),
        max_length=50,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]*$")],
        help_text=_("The type that users select, such as igw, debian or windows."),
    )
    size_gb = models.PositiveIntegerField(
        _("size (GB)"), validators=[MinValueValidator(1), MaxValueValidator(10000)]
    )
    volume_type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    # The source of its volumes: a snapshot by its id, the newest available snapshot whose name has a prefix, or an image;
    # with none of these its volumes are blank.
    snapshot_id = models.CharField(_("snapshot"), max_length=64, blank=True, default="")
    snapshot_prefix = models.CharField(
        _("snapshot name prefix"),
        max_length=200,
        blank=True,
        default="",
        help_text=_("The newest available snapshot whose name begins with this."),
    )
    image_id = models.CharField(
        _("image"),
        max_length=64,
        blank=True,
        default="",
        help_text=_("The ID of an image in the cloud. VMs that boot from a volume of it claim a spare."),
    )
    desired = models.PositiveIntegerField(
        _("desired"), default=0, validators=[MaxValueValidator(MAX_DESIRED)], help_text=_("0 = no spares")
    )
    max_in_flight = models.PositiveIntegerField(
        _("maximum concurrent creations"), default=3, validators=[MinValueValidator(1), MaxValueValidator(50)]
    )
    max_age_days = models.PositiveIntegerField(
        _("maximum age (days)"), default=0, help_text=_("0 = unlimited")
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    # The snapshot of new spares, as the last reconciliation has found it, and the reason why it has found none.
    current_snapshot_id = models.CharField(max_length=64, blank=True, default="", editable=False)
    source_error = MessageField(_("snapshot problem"), blank=True, default="", editable=False)
    # Until then no spare is created, because a creation failed or the cloud's quota was full. Each pause in a row is longer.
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    pauses = models.PositiveIntegerField(default=0, editable=False)
    last_error = MessageField(_("last error"), blank=True, default="", editable=False)
    # The moving mean of the creation time in seconds: the waiting time that a claimed spare saves.
    creation_seconds = models.FloatField(null=True, blank=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        ordering = ["type", "account"]
        verbose_name = _("volume pool")
        verbose_name_plural = _("volume pools")
        constraints = [
            models.UniqueConstraint(fields=["account", "type"], name="pool_once_per_account_and_type"),
            models.CheckConstraint(
                condition=(Q(snapshot_id="") & Q(snapshot_prefix=""))
                | (Q(snapshot_id="") & Q(image_id=""))
                | (Q(snapshot_prefix="") & Q(image_id="")),
                name="pool_of_one_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} ({self.account})"

    @property
    def is_paused(self) -> bool:
        """Return whether no spare is created now, because the cloud has refused."""
        now = timezone.now()
        return self.paused_until is not None and now < self.paused_until <= now + MAX_SPREAD_PAUSE

    @property
    def has_snapshot_source(self) -> bool:
        """Return whether its spares are copies of a snapshot."""
        return bool(self.snapshot_id or self.snapshot_prefix)

    @property
    def is_source_missing(self) -> bool:
        """Return whether no spare can be created: no snapshot fits, or the first reconciliation is still to come."""
        return self.has_snapshot_source and not self.current_snapshot_id

    @property
    def has_source_problem(self) -> bool:
        """Return whether no spare can be created, or its snapshot does not fit."""
        return self.is_source_missing or bool(self.source_error)

    @property
    def source_snapshot_id(self) -> str:
        """Return the snapshot that new spares are copies of: "" for blank spares, for copies of an image, and while no snapshot fits."""
        return self.current_snapshot_id if self.has_snapshot_source else ""


class SpareVolumeQuerySet(models.QuerySet["SpareVolume"]):
    """Spares of pools."""

    def claimable(self) -> Self:
        """Return the spares that can be claimed, oldest first: available, with the present properties of their pool.

        A spare of an older snapshot can be claimed until it is replaced.
        """
        return self.filter(
            status=SpareVolume.Status.AVAILABLE,
            region=F("pool__region"),
            size_gb=F("pool__size_gb"),
            volume_type=F("pool__volume_type"),
            availability_zone=F("pool__availability_zone"),
            image_id=F("pool__image_id"),
        ).order_by("available_at", "pk")

    def fresh(self, pool: VolumePool) -> Self:
        """Return the spares of a pool that count towards `desired`: claimable, of the present snapshot, and not too old."""
        spares = self.claimable().filter(pool=pool, snapshot_id=pool.source_snapshot_id)
        if not pool.max_age_days:
            return spares
        return spares.filter(available_at__gt=Now() - timedelta(days=pool.max_age_days))


class SpareVolume(models.Model):
    """A volume that is kept ready for a claim, or is being created for that.

    The row is written before the request is sent, and Cinder's volume carries its id. A claim deletes the row in the
    transaction that inserts the tenant's `Volume`.
    """

    class Status(models.TextChoices):
        CREATING = "creating", _("creating")  # requested, or about to be
        AVAILABLE = "available", _("available")  # can be claimed
        REMOVING = "removing", _("removing")  # too old, or in error; a job deletes it in Cinder

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pool = models.ForeignKey(VolumePool, models.PROTECT, related_name="spares", verbose_name=_("volume pool"))
    volume_id = models.CharField(_("volume ID"), max_length=64, null=True, blank=True, unique=True)
    name = models.CharField(_("name"), max_length=200)
    # Its properties at its creation; those of the pool may have changed since.
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    size_gb = models.PositiveIntegerField(_("size (GB)"))
    volume_type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    snapshot_id = models.CharField(_("snapshot"), max_length=64, blank=True, default="")
    image_id = models.CharField(_("image"), max_length=64, blank=True, default="")
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.CREATING)
    # The number of listings in a row that did not show it.
    missing_count = models.PositiveSmallIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    available_at = models.DateTimeField(_("available since"), null=True, blank=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = SpareVolumeQuerySet.as_manager()

    class Meta:
        ordering = ["pool", "available_at", "id"]
        verbose_name = _("spare volume")
        verbose_name_plural = _("spare volumes")
        indexes = [models.Index(fields=["pool", "status", "available_at", "id"], name="spare_to_claim")]

    def __str__(self) -> str:
        return self.name

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this spare."""
        return f"spare:{self.pk}"


class Claim(models.Model):
    """One claim of volumes of a type: how many spares it took from the pool, and how many had to be created."""

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(VolumePool, models.CASCADE, related_name="claims", db_index=False)
    at = models.DateTimeField(_("time"), default=timezone.now)
    taken = models.PositiveIntegerField(_("served from pool"), default=0)
    made = models.PositiveIntegerField(_("created on demand"), default=0)
    # The waiting time that the taken spares saved, by the pool's mean creation time at that time.
    seconds_saved = models.FloatField(default=0)

    class Meta:
        db_table = "volumepool_poolclaim"  # The former name, which the release before still reads.
        ordering = ["-id"]
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        indexes = [models.Index(fields=["pool", "at"], name="claim_by_pool")]

    def __str__(self) -> str:
        return f"{self.pool} {self.at:%Y-%m-%d %H:%M}: {self.taken} + {self.made}"


class PoolStock(models.Model):
    """The stock of a pool at one time, for its chart. Written by the periodic backfill."""

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(VolumePool, models.CASCADE, related_name="stock", db_index=False)
    at = models.DateTimeField(_("time"), default=timezone.now)
    desired = models.PositiveIntegerField(_("desired"))
    available = models.PositiveIntegerField(_("available"))
    creating = models.PositiveIntegerField(_("creating"))

    class Meta:
        ordering = ["-id"]
        verbose_name = _("stock")
        verbose_name_plural = _("stock")
        indexes = [models.Index(fields=["pool", "at"], name="stock_by_pool")]

    def __str__(self) -> str:
        return f"{self.pool} {self.at:%Y-%m-%d %H:%M}: {self.available} / {self.desired}"


class OrphanVolume(models.Model):
    """A volume that carries the pools' metadata and belongs to no row.

    The sweep (`cloudaccounts/sync/orphans.py`) confirms it at its second sighting.
    """

    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="+", db_index=False)
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    volume_id = models.CharField(_("volume ID"), max_length=64)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    status = models.CharField(_("status"), max_length=50, blank=True, default="")
    seen = models.PositiveIntegerField(_("times seen"), default=1)
    # Somebody uses it or has used it. It holds their data, so it never becomes a spare again and is not deleted.
    is_taken = models.BooleanField(_("in use"), default=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)

    class Meta:
        db_table = "volumepool_strayvolume"  # The former name, which the release before still reads.
        ordering = ["account", "region", "volume_id"]
        verbose_name = _("orphan volume")
        verbose_name_plural = _("orphan volumes")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "volume_id"], name="stray_volume_once")
        ]

    def __str__(self) -> str:
        return self.name or self.volume_id

    @classmethod
    def record_used_volume(
        cls, account: CloudAccount, region: str, volume_id: str, name: str, status: str
    ) -> None:
        """Record that somebody uses a volume of a pool without the portal."""
        columns = {
            "name": name[:255],
            "status": status[:50],
            "is_taken": True,
            "last_seen_at": timezone.now(),
        }
        cls.objects.update_or_create(account=account, region=region, volume_id=volume_id, defaults=columns)
