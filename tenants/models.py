"""Tenants, their members and their information systems."""

import uuid
from datetime import date
from typing import Any, ClassVar

from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractUser
from django.core.validators import MinValueValidator, RegexValidator
from django.db import connection, models, transaction
from django.db.models.functions import Lower, Now
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from api.password_checks import count_password_check
from api.time_zones import today_in, validate_time_zone

from .scoping import Role, TenantScoped

_network_id = RegexValidator(r"^[0-9A-Za-z-]+\Z", _("A network is named by its OpenStack id."))
# The columns whose change may end credentials; the trigger decides.
ENDS_CREDENTIALS = frozenset({"password", "is_active", "is_staff", "is_superuser"})


class User(AbstractUser):
    """A person or a program that signs in. Staff administer everything; others act inside their tenants."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    # Sessions and tokens are good for the epoch in which they were made. A trigger of the database moves it (migration
    # `credentials_epoch`), whoever writes the row: when the password changes, the user is switched off, or stops being
    # staff or superuser. It never moves back, so what has ended stays ended.
    credentials_epoch = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
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

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save as Django does, and read the epoch that the trigger may have moved.

        Without that, who changes the own password would be signed out too: Django writes the session's new hash from
        this object.
        """
        is_new, names = self._state.adding, kwargs.get("update_fields")
        super().save(*args, **kwargs)
        if not is_new and (names is None or ENDS_CREDENTIALS & set(names)):
            self.credentials_epoch = User.objects.values_list("credentials_epoch", flat=True).get(pk=self.pk)

    def check_password(self, raw_password: str | None) -> bool:
        """Check a password, as one of the tries that are counted (api/password_checks.py).

        A password that is hashed anew, as its hash was made by older settings, is still the same one: that ends no
        tokens.
        """

        def save_new_hash(raw: str) -> None:
            self.set_password(raw)
            self._password = None
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL portal.password_rehash = 'on'")
                self.save(update_fields=["password"])
                cursor.execute("SET LOCAL portal.password_rehash = 'off'")

        with count_password_check(self.get_username()) as check:
            check.passed = check_password(raw_password, self.password, save_new_hash)
        return check.passed

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session keeps of the user; it ends when this changes."""
        of_password: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        if not self.credentials_epoch:
            return of_password  # As it was before there were epochs: sessions of that time go on.
        return salted_hmac(
            "tenants.User.credentials_epoch",
            f"{of_password}:{self.credentials_epoch}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()

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


class InvitationQuerySet(TenantScoped):
    """Invitations to tenants."""

    def pending(self) -> "InvitationQuerySet":
        """Those that may still be accepted."""
        return self.filter(declined_at=None, expires_at__gt=Now(), tenant__active=True)

    def of_invited(self, user: User) -> "InvitationQuerySet":
        """The pending ones that a user is meant by."""
        return self.pending().filter(username=user.get_username())


class Invitation(models.Model):
    """That somebody is invited into a tenant, until it is accepted, declined or withdrawn, or has expired.

    The invited is a name and no reference to a user: the row is the same whether anybody has that name or not, so
    nobody learns that by inviting. What was accepted or withdrawn is deleted; what was declined stays until it expires,
    so that the same person is not asked again at once.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="invitations", verbose_name=_("tenant"))
    username = models.CharField(_("user name"), max_length=150)
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.VIEWER)
    invited_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("invited by")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    declined_at = models.DateTimeField(_("declined"), null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "username"], name="invitation_once_per_tenant"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role_known"),
        ]
        indexes = [models.Index(fields=["username"], name="invitation_by_username")]
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")

    def __str__(self) -> str:
        return f"{self.username} @ {self.tenant} ({self.role})"


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
