"""Pools: what spare volumes are to be kept ready, and those that are."""

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

from cloudaccounts.models import CloudAccount

# More spares of one kind than this are a mistake, not a stock.
MAX_DESIRED = 1000

# How long a pool pauses at the most, before its pause is spread; one that is longer was written by a clock that ran ahead.
MAX_PAUSE = timedelta(hours=1)
MAX_SPREAD_PAUSE = 1.5 * MAX_PAUSE


class VolumePool(models.Model):
    """A kind of volumes in one account, and how many of them are to be ready before anybody asks.

    Everything about a volume that cannot be changed after its creation is said here.
    """

    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="volume_pools", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    type = models.CharField(
        _("type"),
        max_length=50,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9._-]*$")],
        help_text=_("What people ask for: igw, debian, windows."),
    )
    size_gb = models.PositiveIntegerField(
        _("size (GB)"), validators=[MinValueValidator(1), MaxValueValidator(10000)]
    )
    volume_type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    # What they are copies of: one snapshot by its id, the newest available one whose name begins so, or an image; with
    # none of them they are empty.
    snapshot_id = models.CharField(_("snapshot"), max_length=64, blank=True, default="")
    snapshot_prefix = models.CharField(
        _("prefix of the snapshot's name"),
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
        help_text=_("An image's id in the cloud: VMs that boot from a volume of it take a spare."),
    )
    desired = models.PositiveIntegerField(
        _("desired"), default=0, validators=[MaxValueValidator(MAX_DESIRED)], help_text=_("0: none is kept.")
    )
    max_in_flight = models.PositiveIntegerField(
        _("creations at once"), default=3, validators=[MinValueValidator(1), MaxValueValidator(50)]
    )
    max_age_days = models.PositiveIntegerField(
        _("replaced after days"), default=0, help_text=_("0: never for their age.")
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    # The snapshot that new spares are made from now, as the last reconciliation has found it; what was wrong with it.
    current_snapshot_id = models.CharField(max_length=64, blank=True, default="", editable=False)
    source_error = models.TextField(_("what its snapshot lacks"), blank=True, default="", editable=False)
    # When the cloud's quota was full: nothing is asked for before then, and the longer, the more often it was.
    paused_until = models.DateTimeField(null=True, blank=True, editable=False)
    pauses = models.PositiveIntegerField(default=0, editable=False)
    last_error = models.TextField(_("last error"), blank=True, default="", editable=False)
    # How long a creation takes, in seconds: a moving mean. What a claim saves.
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
        """Return whether nothing is asked for now, as the cloud has refused."""
        now = timezone.now()
        return self.paused_until is not None and now < self.paused_until <= now + MAX_SPREAD_PAUSE

    @property
    def has_snapshot_source(self) -> bool:
        """Return whether its spares are copies of a snapshot."""
        return bool(self.snapshot_id or self.snapshot_prefix)

    @property
    def is_source_missing(self) -> bool:
        """Return whether nothing can be made for it now: no snapshot fits, or none has been looked for yet."""
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
        """Those that can be handed out: ready, and of just what their pool says now but for the snapshot, oldest first.

        One of an older snapshot is still better than none; it is replaced as soon as there is a newer one.
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
        """Those of a pool that count as what is desired: claimable, of the present snapshot, and not too old."""
        spares = self.claimable().filter(pool=pool, snapshot_id=pool.source_snapshot_id)
        if not pool.max_age_days:
            return spares
        return spares.filter(available_at__gt=Now() - timedelta(days=pool.max_age_days))


class SpareVolume(models.Model):
    """A volume that is ready for whoever asks first, or is being made so.

    The row is the intent: it is written before the request goes out, and Cinder's volume carries its id. Who claims one
    deletes the row in the transaction that inserts his `Volume`; there is no other sign of being taken.
    """

    class Status(models.TextChoices):
        CREATING = "creating", _("creating")  # asked for, or about to be
        AVAILABLE = "available", _("available")  # can be claimed
        REMOVING = "removing", _("removing")  # too old, or in error; a job removes it in Cinder

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pool = models.ForeignKey(VolumePool, models.PROTECT, related_name="spares", verbose_name=_("volume pool"))
    volume_id = models.CharField(_("volume id"), max_length=64, null=True, blank=True, unique=True)
    name = models.CharField(_("name"), max_length=200)
    # What it was made as; the pool may say something else by now.
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    size_gb = models.PositiveIntegerField(_("size (GB)"))
    volume_type = models.CharField(_("volume type"), max_length=100, blank=True, default="")
    availability_zone = models.CharField(_("availability zone"), max_length=100, blank=True, default="")
    snapshot_id = models.CharField(_("snapshot"), max_length=64, blank=True, default="")
    image_id = models.CharField(_("image"), max_length=64, blank=True, default="")
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.CREATING)
    # How many listings in a row did not show it.
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
        """The engine's lock on this spare."""
        return f"spare:{self.pk}"


class Claim(models.Model):
    """One claim of volumes of a type: how many spares it took from the pool, and how many had to be created."""

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(VolumePool, models.CASCADE, related_name="claims", db_index=False)
    at = models.DateTimeField(_("at"), default=timezone.now)
    taken = models.PositiveIntegerField(_("taken from the pool"), default=0)
    made = models.PositiveIntegerField(_("created"), default=0)
    # The waiting time that the taken spares saved, by the pool's mean creation time at that time.
    seconds_saved = models.FloatField(default=0)

    class Meta:
        db_table = "volumepool_poolclaim"  # As the release before calls it.
        ordering = ["-id"]
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        indexes = [models.Index(fields=["pool", "at"], name="claim_by_pool")]

    def __str__(self) -> str:
        return f"{self.pool} {self.at:%Y-%m-%d %H:%M}: {self.taken} + {self.made}"


class PoolStock(models.Model):
    """How full a pool was at one time: the points of its chart. Written by the periodic backfill."""

    id = models.BigAutoField(primary_key=True)
    pool = models.ForeignKey(VolumePool, models.CASCADE, related_name="stock", db_index=False)
    at = models.DateTimeField(_("at"), default=timezone.now)
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
    volume_id = models.CharField(_("volume id"), max_length=64)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    status = models.CharField(_("status"), max_length=50, blank=True, default="")
    seen = models.PositiveIntegerField(_("seen"), default=1)
    # Somebody uses it, or once did. What is on it is theirs, so it never becomes a spare again, and is not deleted.
    is_taken = models.BooleanField(_("taken"), default=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)

    class Meta:
        db_table = "volumepool_strayvolume"  # As the release before calls it.
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
        shown = {"name": name[:255], "status": status[:50], "is_taken": True, "last_seen_at": timezone.now()}
        cls.objects.update_or_create(account=account, region=region, volume_id=volume_id, defaults=shown)
