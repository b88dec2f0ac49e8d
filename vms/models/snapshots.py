"""Snapshots of VMs, and the console texts that were read for users."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudAccount
from security.encryption import decrypt, encrypt
from tenants.models import InformationSystem
from tenants.scoping import TenantScopedQuerySet

from .virtual_machine import VirtualMachine


class SnapshotQuerySet(TenantScopedQuerySet):
    """Snapshots; their tenant is that of their information system."""

    tenant_path: ClassVar[str] = "information_system__tenant"

    def mark_gone(self) -> int:
        """Write that Glance no longer has the images; return the number of rows."""
        return self.update(status="gone", missing_count=2, written_at=Now())


class VMSnapshot(models.Model):
    """An image that a tenant has created of a VM. It keeps the VM's id and name, because it may outlive the VM.

    `image_id` is Glance's, empty until Nova has accepted the snapshot.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem, models.PROTECT, related_name="vm_snapshots", verbose_name=_("information system")
    )
    account = models.ForeignKey(
        CloudAccount, models.PROTECT, related_name="+", verbose_name=_("cloud account")
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    vm_id = models.UUIDField(_("VM ID"), db_index=True)
    vm_name = models.CharField(_("VM"), max_length=200)
    name = models.CharField(_("name"), max_length=200)
    image_id = models.CharField(_("image ID"), max_length=64, null=True, blank=True, unique=True)
    # Glance's status at the last sync: "queued" before the first one, "gone" when Glance no longer has the image.
    status = models.CharField(_("status"), max_length=30, default="queued")
    # The least disk of a VM that is created from it; 0 when the image has its own minimum.
    min_disk_gb = models.PositiveIntegerField(default=0, editable=False)
    size_bytes = models.BigIntegerField(_("size (bytes)"), null=True, blank=True)
    # Cinder's snapshots behind the image of a VM that boots from a volume, the boot disk's first. They are deleted with
    # it, and a VM that is created from it boots from a copy of the first.
    volume_snapshots = models.JSONField(default=list, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    # The number of complete listings in a row that did not show it; and when a column that follows Glance was last written.
    missing_count = models.PositiveSmallIntegerField(default=0, db_default=0, editable=False)
    written_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = _("VM snapshot")
        verbose_name_plural = _("VM snapshots")
        constraints = [models.CheckConstraint(condition=~Q(image_id=""), name="snapshot_unbound_is_null")]

    def __str__(self) -> str:
        return self.name

    @property
    def lock_key(self) -> str:
        """Return the key of the engine's lock on this snapshot."""
        return f"vm-snapshot:{self.pk}"


class ConsoleReading(models.Model):
    """The console text that was last read for one user: the console URL, or the last lines of the log.

    A URL grants access without a password, so it is for that user alone, encrypted, and not returned after
    `settings.CONSOLE_URL_SECONDS`.
    """

    class Kind(models.TextChoices):
        URL = "url", _("URL")
        LOG = "log", _("log")

    vm = models.ForeignKey(VirtualMachine, models.CASCADE, related_name="console_readings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    encrypted_text = models.TextField(blank=True, default="")
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("console reading")
        verbose_name_plural = _("console readings")
        constraints = [
            models.UniqueConstraint(fields=["vm", "user", "kind"], name="console_reading_once"),
        ]

    def __str__(self) -> str:
        return f"{self.vm} {self.kind}"

    def set_text(self, plain: str) -> None:
        """Encrypt a console text and put it into the row; the caller saves."""
        self.encrypted_text = encrypt(plain)

    def text(self) -> str:
        """Decrypt and return the console text. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_text)
