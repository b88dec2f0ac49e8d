"""Services and their versions."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.models import InformationSystem
from tenants.scoping import TenantScopedQuerySet

from ..executors.contract import FOLDER, NAME

# The same patterns as those of the executors, so that every row can be deployed.
validate_name = RegexValidator(
    rf"^{NAME.pattern}\Z", _("Letters, digits and _ . + ~ -, and no dot in front.")
)
validate_folder = RegexValidator(rf"^{FOLDER.pattern}\Z", _("An absolute path of plain characters."))


class ServiceQuerySet(TenantScopedQuerySet):
    """Services, scoped by the tenant of their information system."""

    tenant_path: ClassVar[str] = "information_system__tenant"


class MicroService(models.Model):
    """A service of an information system, which runs on hosts: one process and one version on each."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    information_system = models.ForeignKey(
        InformationSystem, models.PROTECT, related_name="services", verbose_name=_("information system")
    )
    name = models.CharField(_("name"), max_length=100, validators=[validate_name])
    language = models.CharField(_("language"), max_length=50, blank=True, default="")
    description = models.TextField(_("description"), blank=True, default="", max_length=2000)
    repository = models.CharField(_("repository"), max_length=500, blank=True, default="")
    folder = models.CharField(
        _("install path"),
        max_length=500,
        validators=[validate_folder],
        help_text=_("Used by this service only; its releases are stored there."),
    )
    port = models.PositiveIntegerField(_("port"), validators=[MinValueValidator(1), MaxValueValidator(65535)])
    # The health check. Without a path, a version counts as healthy as soon as its restart has succeeded.
    health_path = models.CharField(_("health path"), max_length=500, blank=True, default="")
    health_port = models.PositiveIntegerField(
        _("health port"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text=_("Leave empty to use the instance's port."),
    )
    health_status = models.PositiveIntegerField(
        _("expected status"), default=200, validators=[MinValueValidator(100), MaxValueValidator(599)]
    )
    health_contains = models.CharField(
        _("expected response text"),
        max_length=200,
        blank=True,
        default="",
        help_text=_(
            "{version} is replaced by the label, so that an old process that still answers is not taken for the new one."
        ),
    )
    health_seconds = models.PositiveIntegerField(
        _("health check timeout (s)"), default=60, validators=[MinValueValidator(1), MaxValueValidator(60)]
    )
    executor = models.CharField(_("executor"), max_length=50)
    executor_settings = models.JSONField(_("executor settings"), default=dict, blank=True)
    tags = models.JSONField(_("tags"), default=dict, db_default={}, blank=True)  # By key (`api/tags.py`).
    # The number of the newest version.
    last_number = models.PositiveIntegerField(default=0, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("service")
        verbose_name_plural = _("services")
        constraints = [
            models.UniqueConstraint(
                fields=["information_system", "name"], name="service_name_unique_in_system"
            )
        ]
        indexes = [GinIndex(fields=["tags"], name="service_by_tag")]

    def __str__(self) -> str:
        return self.name


class VersionQuerySet(TenantScopedQuerySet):
    """Versions, scoped by the tenant of their service."""

    tenant_path: ClassVar[str] = "service__information_system__tenant"

    def built(self) -> Self:
        """Return the versions that can be deployed: see `MicroServiceVersion.is_built`."""
        success = self.filter(build_status=MicroServiceVersion.BuildStatus.SUCCESS)
        return success.exclude(artifact_url="").exclude(sha256="")


class MicroServiceVersion(models.Model):
    """A build of a service. A *higher* version has a greater `number`, assigned at registration, whatever its label."""

    class BuildStatus(models.TextChoices):
        PENDING = "pending", _("pending")
        BUILDING = "building", _("building")
        SUCCESS = "success", _("built")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(
        MicroService, models.CASCADE, related_name="versions", verbose_name=_("service")
    )
    label = models.CharField(_("version"), max_length=128, validators=[validate_name])
    number = models.PositiveIntegerField(_("number"), editable=False)
    build_status = models.CharField(
        _("build status"), max_length=10, choices=BuildStatus.choices, default=BuildStatus.PENDING
    )
    # It may contain a signature, so it is shown only to users who may deploy.
    artifact_url = models.CharField(_("artifact"), max_length=2000, blank=True, default="")
    sha256 = models.CharField(
        _("SHA-256 sum"),
        max_length=64,
        blank=True,
        default="",
        validators=[RegexValidator(r"^[0-9a-f]{64}\Z", _("64 hexadecimal digits, in lower case."))],
    )
    notes = models.TextField(_("notes"), blank=True, default="", max_length=10000)
    built_at = models.DateTimeField(_("built"), null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("created by"),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ["service", "-number"]
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        constraints = [
            models.UniqueConstraint(fields=["service", "label"], name="version_label_unique_in_service"),
            models.UniqueConstraint(fields=["service", "number"], name="version_number_unique_in_service"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.label}"

    @property
    def is_built(self) -> bool:
        """Return whether the version can be deployed."""
        return self.build_status == self.BuildStatus.SUCCESS and bool(self.artifact_url and self.sha256)
