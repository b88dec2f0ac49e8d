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
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from api.password_checks import count_password_check
from api.time_zones import today_in, validate_time_zone

from .scoping import Role, TenantScopedQuerySet

_network_id = RegexValidator(r"^[0-9A-Za-z-]+\Z", _("Enter the OpenStack ID of a network."))
# The columns whose change may end credentials, as the trigger decides.
ENDS_CREDENTIALS = frozenset({"password", "is_active", "is_staff", "is_superuser"})


class User(AbstractUser):
    """A person or a program that signs in. Staff administer the platform; others act inside their tenants."""

    class Theme(models.TextChoices):
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    class SecondFactor(models.TextChoices):
        TOTP = "totp", _("Authenticator app")
        PASSKEY = "passkey", _("Passkey")
        PROVIDER = "provider", _("Of the identity provider")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The language of pages; empty is that of the browser.
    language = models.CharField(_("language"), max_length=10, blank=True, default="")
    # The colors of pages; empty is those of the system that the browser runs on.
    theme = models.CharField(
        _("theme"), max_length=10, blank=True, default="", db_default="", choices=Theme.choices
    )
    # The columns that the user has hidden, by table (pages/tables.py). What is not known there is ignored.
    hidden_columns = models.JSONField(
        default=dict, blank=True, db_default=models.Value({}, models.JSONField()), editable=False
    )
    # Sessions and tokens are valid for the epoch in which they were created. A database trigger (migration
    # `credentials_epoch`) increments it on any write that changes the password, disables the user, or ends being staff or
    # superuser. It is never decremented, so what has ended stays ended.
    credentials_epoch = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text=_(
            "Times are shown in this zone: an IANA name such as Europe/Berlin. Empty = the tenant's."
        ),
    )

    # The second factor that the user has: an authenticator app, else a passkey, else one that their provider demands. The room `signin` writes it.
    second_factor = models.CharField(
        _("second factor"),
        max_length=10,
        blank=True,
        default="",
        db_default="",
        choices=SecondFactor.choices,
        editable=False,
    )

    class Meta(AbstractUser.Meta):
        db_table = "tenants_user"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and read the epoch, which the trigger may have incremented.

        Otherwise users who change their own password would be signed out: Django computes the session's new hash from this
        object.
        """
        is_new, names = self._state.adding, kwargs.get("update_fields")
        super().save(*args, **kwargs)
        if not is_new and (names is None or ENDS_CREDENTIALS & set(names)):
            self.credentials_epoch = User.objects.values_list("credentials_epoch", flat=True).get(pk=self.pk)

    def check_password(self, raw_password: str | None) -> bool:
        """Check a password; the attempt is counted (api/password_checks.py).

        A password is only rehashed when its hash is of older settings. It is still the same password, so no token ends.
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
        """Return the hash that a session keeps of the user; a session ends when it changes."""
        password_hash: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        if not self.credentials_epoch:
            return password_hash  # As before epochs were introduced, so that older sessions stay valid.
        return salted_hmac(
            "tenants.User.credentials_epoch",
            f"{password_hash}:{self.credentials_epoch}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()

    def active_memberships(self) -> "models.QuerySet[Membership]":
        """Return the memberships of active tenants, ordered by the tenant's name."""
        memberships = Membership.objects.filter(user=self, tenant__active=True)
        return memberships.select_related("tenant").order_by("tenant__name")

    @cached_property
    def own_memberships(self) -> "list[Membership]":
        """Return the active memberships, read once: a page needs them for its scope and to offer the other tenants."""
        return list(self.active_memberships())


class TenantQuerySet(TenantScopedQuerySet):
    """Tenants; the tenant of a tenant is itself."""

    tenant_path: ClassVar[str] = ""


class Tenant(models.Model):
    """A department of the company. It owns everything else.

    A quota of null is unlimited. Quotas are checked under a lock on this row and count jobs in flight.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    slug = models.SlugField(
        _("slug"), max_length=50, unique=True, help_text=_("The value of the X-Tenant header.")
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
        help_text=_("For new VMs of information systems without a default network."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text=_(
            "Days, such as the end date of a VM, begin and end in this zone, and times are shown in it to members"
            " who have selected none. An IANA name such as Europe/Berlin. Empty = the portal's."
        ),
    )
    second_factor_required = models.BooleanField(
        _("second factor required"),
        default=False,
        db_default=False,
        help_text=_("Members without a second factor are refused until they have set one up."),
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
        """Return the present day in the tenant's time zone."""
        return today_in(self.time_zone)


class MembershipQuerySet(TenantScopedQuerySet):
    """Memberships of tenants."""


class Membership(models.Model):
    """The membership of a user in a tenant, with a role."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="memberships", verbose_name=_("tenant"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.VIEWER)
    # The provider whose rules gave the membership and may take it away (signin/services/roles.py); empty: a person gave it.
    rule_provider = models.CharField(
        _("given by rules of"), max_length=30, blank=True, default="", db_default="", editable=False
    )
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


class InvitationQuerySet(TenantScopedQuerySet):
    """Invitations to tenants."""

    def pending(self) -> "InvitationQuerySet":
        """Return the invitations that may still be accepted."""
        return self.filter(declined_at=None, expires_at__gt=Now(), tenant__active=True)

    def of_invited(self, user: User) -> "InvitationQuerySet":
        """Return the pending invitations of a user."""
        return self.pending().filter(username=user.get_username())


class Invitation(models.Model):
    """An invitation into a tenant, until it is accepted, declined or withdrawn, or expires.

    It holds a username and no reference to a user: the row is the same whether a user has that name or not, so an invitation
    does not reveal it. Accepted and withdrawn invitations are deleted; a declined one stays until it expires, so that the
    same person is not invited again at once.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="invitations", verbose_name=_("tenant"))
    username = models.CharField(_("username"), max_length=150)
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


class InformationSystemQuerySet(TenantScopedQuerySet):
    """Information systems of tenants."""


class InformationSystem(models.Model):
    """An information system of a tenant. It owns VMs, volumes and services."""

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
