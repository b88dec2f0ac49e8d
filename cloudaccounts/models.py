"""Cloud accounts, synced copies of what is in them, and the log of how they were synced."""

import uuid
from typing import ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from portal.api.scoping import TenantScoped
from tenants.models import Tenant, User

from .encryption import decrypt, encrypt


class CloudAccountQuerySet(TenantScoped):
    """Cloud accounts; one without a tenant is shared by the platform and seen by everybody."""

    tenant_path: ClassVar[str] = "tenant"

    def for_tenant(self, tenant: Tenant) -> Self:
        """The tenant's own accounts and the shared ones."""
        return self.filter(models.Q(tenant=tenant) | models.Q(tenant=None))

    def visible_to(self, user: User) -> Self:
        """The accounts of the user's tenants and the shared ones; all for staff."""
        if user.is_staff:
            return self.all()
        own = Tenant.objects.visible_to(user).values("pk")
        return self.filter(models.Q(tenant__in=own) | models.Q(tenant=None))


def validate_region_list(value: object) -> None:
    """Refuse anything but a list of non-empty region names."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValidationError(_('Regions are a list of names, such as ["RegionOne"]; empty means all.'))


class CloudAccount(models.Model):
    """Credentials and a project on one cloud.

    The secret is stored encrypted, is set by `set_secret`, and is never shown again.
    """

    class CredentialKind(models.TextChoices):
        APPLICATION_CREDENTIAL = "application_credential", _("application credential")
        PASSWORD = "password", _("user and password")

    name = models.CharField(_("name"), max_length=100, unique=True)
    provider = models.CharField(_("provider"), max_length=50, default="openstack")
    tenant = models.ForeignKey(
        Tenant,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="cloud_accounts",
        verbose_name=_("tenant"),
        help_text=_("Empty: shared by the platform."),
    )
    auth_url = models.URLField(_("auth URL"), max_length=500)
    credential_kind = models.CharField(
        _("kind of credential"),
        max_length=30,
        choices=CredentialKind.choices,
        default=CredentialKind.APPLICATION_CREDENTIAL,
    )
    access_id = models.CharField(
        _("access id"), max_length=255, help_text=_("The application credential's id, or the user's name.")
    )
    encrypted_secret = models.TextField(editable=False, blank=True, default="")
    project = models.CharField(_("project"), max_length=255, blank=True, default="")
    user_domain = models.CharField(_("user's domain"), max_length=255, blank=True, default="Default")
    project_domain = models.CharField(_("project's domain"), max_length=255, blank=True, default="Default")
    ca_bundle = models.TextField(_("CA bundle (PEM)"), blank=True, default="")
    regions = models.JSONField(
        _("regions"),
        default=list,
        blank=True,
        validators=[validate_region_list],
        help_text=_("Empty: every region of the catalog."),
    )
    active = models.BooleanField(_("active"), default=True)
    last_verified_at = models.DateTimeField(_("last verified"), null=True, blank=True, editable=False)
    last_error = models.TextField(_("last error"), blank=True, default="", editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = CloudAccountQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = _("cloud account")
        verbose_name_plural = _("cloud accounts")

    def __str__(self) -> str:
        return self.name

    def set_secret(self, plain: str) -> None:
        """Encrypt and keep a secret; the caller saves."""
        self.encrypted_secret = encrypt(plain)

    def secret(self) -> str:
        """The secret in plain, for opening the cloud and nothing else. Raises `UnreadableSecret`."""
        return decrypt(self.encrypted_secret)


class OfAccountQuerySet(TenantScoped):
    """Rows of accounts; who sees the account sees what is said of it."""

    tenant_path: ClassVar[str] = "account__tenant"

    def for_tenant(self, tenant: Tenant) -> Self:
        """What is in the tenant's own accounts and in the shared ones."""
        return self.filter(models.Q(account__tenant=tenant) | models.Q(account__tenant=None))

    def visible_to(self, user: User) -> Self:
        """What is in the accounts that the user sees."""
        if user.is_staff:
            return self.all()
        return self.filter(account__in=CloudAccount.objects.visible_to(user).values("pk"))


class CloudResourceQuerySet(OfAccountQuerySet):
    """Resources of accounts."""

    def present(self) -> Self:
        """What the last complete listing showed."""
        return self.filter(expired_at=None)


class CloudResource(models.Model):
    """A synced copy of something found in an account: a flavor, an image, a network.

    `type` is the code of the syncer that writes it (`sync/syncers.py`), which also says what `attributes` holds.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(
        CloudAccount,
        models.CASCADE,
        related_name="resources",
        db_index=False,  # resource_once begins with it.
        verbose_name=_("cloud account"),
    )
    region = models.CharField(_("region"), max_length=100, blank=True, default="")
    type = models.CharField(_("type"), max_length=30)
    cloud_id = models.CharField(_("id in the cloud"), max_length=255)
    name = models.CharField(_("name"), max_length=255, blank=True, default="")
    status = models.CharField(_("status"), max_length=50, blank=True, default="")
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)
    # Set when a complete listing no longer showed it; empty again when it comes back.
    expired_at = models.DateTimeField(_("expired"), null=True, blank=True)

    objects = CloudResourceQuerySet.as_manager()

    class Meta:
        ordering = ["type", "name", "id"]
        verbose_name = _("cloud resource")
        verbose_name_plural = _("cloud resources")
        constraints = [
            models.UniqueConstraint(fields=["account", "region", "type", "cloud_id"], name="resource_once"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.name or self.cloud_id}"


class SyncLog(models.Model):
    """One sync of one type of one account, over all its regions, with what came of it.

    A running one is held by a lease (tasks/leases.py) and is the only one of its account and type: the database
    sees to that. One whose worker died is closed as failed by the next.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        SUCCESS = "success", _("success")
        FAILED = "failed", _("failed")

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="sync_logs", verbose_name=_("cloud account")
    )
    type = models.CharField(_("type"), max_length=30)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RUNNING)
    created = models.PositiveIntegerField(_("created"), default=0)
    updated = models.PositiveIntegerField(_("updated"), default=0)
    unchanged = models.PositiveIntegerField(_("unchanged"), default=0)
    expired = models.PositiveIntegerField(_("expired"), default=0)
    message = models.TextField(_("message"), blank=True, default="")
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    owner = models.CharField(max_length=100, blank=True, default="", editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("sync log")
        verbose_name_plural = _("sync logs")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "type"],
                condition=models.Q(state="running"),
                name="one_running_sync_per_account_and_type",
            ),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="sync_log_by_account")]

    def __str__(self) -> str:
        return f"{self.account} {self.type} {self.started_at:%Y-%m-%d %H:%M:%S}"
