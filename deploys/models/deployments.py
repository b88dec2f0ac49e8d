"""Deployments: upgrades and reverts of instances, with the result and the log of each instance."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from tasks.models import Job
from tenants.scoping import TenantScopedQuerySet

from ..executors.contract import Code
from .catalogue import MicroService, MicroServiceVersion
from .hosts import MicroServiceInstance


class DeploymentQuerySet(TenantScopedQuerySet):
    """Deployments; their tenant is that of their service."""

    tenant_path: ClassVar[str] = "service__information_system__tenant"


class Deployment(models.Model):
    """One upgrade or revert of a service's instances."""

    class Action(models.TextChoices):
        UPGRADE = "upgrade", _("upgrade")
        REVERT = "revert", _("revert")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(
        MicroService, models.CASCADE, related_name="deployments", verbose_name=_("service")
    )
    action = models.CharField(_("action"), max_length=10, choices=Action.choices)
    from_version = models.ForeignKey(
        MicroServiceVersion, models.PROTECT, related_name="+", verbose_name=_("from")
    )
    to_version = models.ForeignKey(
        MicroServiceVersion, models.PROTECT, related_name="deployments", verbose_name=_("to")
    )
    # {"batch": 1 or "25%", "pause": seconds, "max_failures": n, "auto_revert": bool}
    strategy = models.JSONField(_("strategy"), default=dict)
    batches = models.PositiveIntegerField(_("batches"), default=1)
    operator = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("operator")
    )
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )
    retry_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="retries", verbose_name=_("retry of")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = _("deployment")
        verbose_name_plural = _("deployments")
        indexes = [models.Index(fields=["service", "-created_at"], name="deployment_by_service")]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.service} {self.to_version.label}"


class DeploymentItem(models.Model):
    """The part of a deployment for one instance, and its result. It outlives the instance."""

    class Result(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("under way")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        REVERTED = "reverted", _("failed, rolled back")
        SKIPPED = "skipped", _("not begun")

    id = models.BigAutoField(primary_key=True)
    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="items")
    instance = models.ForeignKey(
        MicroServiceInstance, models.SET_NULL, null=True, related_name="history", verbose_name=_("instance")
    )
    host_name = models.CharField(_("host"), max_length=200)
    batch = models.PositiveIntegerField(_("batch"))
    # The version that ran when the deployment was submitted; a revert restores it.
    from_version = models.ForeignKey(
        MicroServiceVersion, models.PROTECT, related_name="+", verbose_name=_("from")
    )
    from_status = models.CharField(
        max_length=10,
        choices=MicroServiceInstance.Status.choices,
        default=MicroServiceInstance.Status.RUNNING,
    )
    result = models.CharField(_("result"), max_length=10, choices=Result.choices, default=Result.WAITING)
    code = models.CharField(_("code"), max_length=30, choices=Code.choices, blank=True, default="")
    message = MessageField(_("message"), blank=True, default="")
    log = models.TextField(_("log"), blank=True, default="")
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        ordering = ["deployment", "batch", "id"]
        verbose_name = _("deployed instance")
        verbose_name_plural = _("deployed instances")
        constraints = [
            models.UniqueConstraint(fields=["deployment", "instance"], name="instance_once_in_a_deployment")
        ]

    def __str__(self) -> str:
        return f"{self.deployment}: {self.host_name}"
