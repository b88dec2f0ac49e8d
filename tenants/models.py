"""Tenants, their members and their information systems."""

import uuid
from datetime import date
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from portal.api.scoping import Role, TenantScoped
from portal.api.time_zones import today_in, validate_time_zone

_network_id = RegexValidator(r"^[0-9A-Za-z-]+\Z", _("A network is named by its OpenStack id."))


class User(AbstractUser):
    """A person or a program that signs in. Staff administer everything; others act inside their tenants."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text=_("In which times are shown; an IANA name such as Europe/Berlin. Empty: the tenant's."),
    )

    class Meta(AbstractUser.Meta):
        db_table = "tenants_user"

    def active_memberships(self) -> "models.QuerySet[Membership]":
        """The memberships that count: of tenants that are not switched off, by the tenant's name."""
        memberships = Membership.objects.filter(user=self, tenant__active=True)
        return memberships.select_related("tenant").order_by("tenant__name")


class TenantQuerySet(TenantScoped):
    """Tenants; the tenant of a tenant is itself."""

    tenant_path: ClassVar[str] = ""


class Tenant(models.Model):
    """A customer department. It owns everything else.

    A quota that is empty is unlimited. Quotas are checked under a lock on this row and count what is in flight.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    slug = models.SlugField(
        _("slug"), max_length=50, unique=True, help_text=_("What the X-Tenant header says.")
    )
    description = models.TextField(_("description"), blank=True, default="", max_length=2000)
    active = models.BooleanField(_("active"), default=True)
    quota_vms = models.PositiveIntegerField(_("VM quota"), null=True, blank=True)
    quota_cpu_cores = models.PositiveIntegerField(_("CPU core quota"), null=True, blank=True)
    quota_memory_gb = models.PositiveIntegerField(_("memory quota (GB)"), null=True, blank=True)
    quota_disk_gb = models.PositiveIntegerField(_("disk quota (GB)"), null=True, blank=True)
    default_network = models.CharField(
        _("default network"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[_network_id],
        help_text=_("For new VMs of information systems that name none."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text=_(
            "What a day is, such as the last one of a VM's runtime, and in which times are shown to members who have"
            " chosen none; an IANA name such as Europe/Berlin. Empty: that of the portal."
        ),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")

    def __str__(self) -> str:
        return self.name

    def today(self) -> date:
        """The day that it is for the tenant."""
        return today_in(self.time_zone)


class MembershipQuerySet(TenantScoped):
    """Memberships of tenants."""


class Membership(models.Model):
    """That a user belongs to a tenant, and in which role."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships", verbose_name=_("tenant"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["tenant__name", "user__username"]
        constraints = [
            models.UniqueConstraint(fields=["user", "tenant"], name="membership_once_per_tenant"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")

    def __str__(self) -> str:
        return f"{self.user} @ {self.tenant} ({self.role})"


class InformationSystemQuerySet(TenantScoped):
    """Information systems of tenants."""


class InformationSystem(models.Model):
    """An application of a tenant; it owns VMs, volumes and services."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="information_systems", verbose_name=_("tenant")
    )
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True, default="", max_length=2000)
    owner = models.CharField(_("owner"), max_length=100, blank=True, default="")
    default_account = models.ForeignKey(
        "cloudaccounts.CloudAccount",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default cloud account"),
    )
    default_network = models.CharField(
        _("default network"),
        max_length=64,
        blank=True,
        default="",
        validators=[_network_id],
    )
    version = models.PositiveIntegerField(default=1, editable=False, validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = InformationSystemQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("tenant", Lower("name"), name="information_system_name_once_per_tenant"),
        ]
        verbose_name = _("information system")
        verbose_name_plural = _("information systems")

    def __str__(self) -> str:
        return self.name
