"""Hosts, the SSH keys with which the portal connects to them, and the instances of services on them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from security.encryption import decrypt, encrypt
from tenants.models import Tenant
from tenants.scoping import TenantScopedQuerySet

from ..executors.contract import USER
from .catalogue import MicroService, MicroServiceVersion, validate_name


class HostQuerySet(TenantScopedQuerySet):
    """Hosts of tenants, and their keys."""

    tenant_path: ClassVar[str] = "tenant"


class Host(models.Model):
    """A machine that services run on. `vm` is its VM, if the portal manages it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="hosts", verbose_name=_("tenant"))
    hostname = models.CharField(_("host name"), max_length=128, validators=[validate_name])
    ip = models.GenericIPAddressField(_("IP address"))
    ssh_port = models.PositiveIntegerField(
        _("SSH port"), default=22, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    user = models.CharField(
        _("user"),
        max_length=33,
        default="deploy",
        validators=[RegexValidator(rf"^{USER.pattern}\Z", _("This is no user's name."))],
    )
    # The host's public keys in the format of `ssh-keyscan`. Other keys are refused, to prevent an impersonation.
    known_hosts = models.TextField(_("host keys"), blank=True, default="", max_length=10000)
    vm = models.ForeignKey(
        "vms.VirtualMachine",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="hosts",
        verbose_name=_("VM"),
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["hostname", "id"]
        verbose_name = _("host")
        verbose_name_plural = _("hosts")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "hostname"], name="host_name_unique_in_tenant")
        ]

    def __str__(self) -> str:
        return f"{self.hostname}:{self.ip}"


class DeployKey(models.Model):
    """The SSH key with which the portal connects to a tenant's hosts. It is stored encrypted and never shown."""

    tenant = models.OneToOneField(
        Tenant, models.CASCADE, primary_key=True, related_name="deploy_key", verbose_name=_("tenant")
    )
    encrypted_private_key = models.TextField(editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("updated by")
    )
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = HostQuerySet.as_manager()

    class Meta:
        verbose_name = _("deploy key")
        verbose_name_plural = _("deploy keys")

    def __str__(self) -> str:
        return str(self.tenant)

    def set_private_key(self, text: str) -> None:
        """Encrypt a key and set it. The caller saves the row."""
        self.encrypted_private_key = encrypt(text)

    def private_key(self) -> str:
        """Return the decrypted key. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_private_key)


class InstanceQuerySet(TenantScopedQuerySet):
    """Instances; their tenant is that of their service."""

    tenant_path: ClassVar[str] = "service__information_system__tenant"


class MicroServiceInstance(models.Model):
    """A service on a host, in one version. A deployment that changes it sets `locked`, and `locked_by` to itself."""

    class Status(models.TextChoices):
        RUNNING = "running", _("running")
        UPGRADING = "upgrading", _("upgrading")
        REVERTING = "reverting", _("reverting")
        FAILED = "failed", _("failed")
        STOPPED = "stopped", _("stopped")
        UNKNOWN = "unknown", _("unknown")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(
        MicroService, models.PROTECT, related_name="instances", verbose_name=_("service")
    )
    # Protected: a revert needs the version that runs.
    version = models.ForeignKey(
        MicroServiceVersion, models.PROTECT, related_name="instances", verbose_name=_("version")
    )
    host = models.ForeignKey(Host, models.PROTECT, related_name="instances", verbose_name=_("host"))
    port = models.PositiveIntegerField(_("port"), validators=[MinValueValidator(1), MaxValueValidator(65535)])
    tag = models.CharField(_("tag"), max_length=50, blank=True, default="")
    weight = models.PositiveIntegerField(_("weight"), default=100, validators=[MaxValueValidator(1000)])
    description = models.CharField(_("description"), max_length=500, blank=True, default="")
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.UNKNOWN)
    locked = models.BooleanField(_("locked"), default=False)
    locked_by = models.ForeignKey(
        "deploys.Deployment",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="holds",
        verbose_name=_("locked by"),
    )
    is_maintain = models.BooleanField(_("under maintenance"), default=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("updated by")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ["service", "host__hostname", "id"]
        verbose_name = _("instance")
        verbose_name_plural = _("instances")
        constraints = [
            models.UniqueConstraint(fields=["host", "service"], name="one_version_of_a_service_on_a_host"),
            models.CheckConstraint(
                condition=Q(locked=True) | Q(locked_by=None), name="only_what_is_locked_has_a_holder"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} @ {self.host}"
