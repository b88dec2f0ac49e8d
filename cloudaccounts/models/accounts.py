"""Cloud accounts: credentials and a project on one cloud, and the schedule of its sync."""

from __future__ import annotations

import json
from typing import ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from api.message_fields import MessageField
from security.encryption import decrypt, encrypt
from tenants.models import Tenant, User
from tenants.scoping import Scope, TenantScopedQuerySet, has_staff_permission

# The type of cloud in which the portal creates, changes and removes things. What other types have is only listed.
MANAGED_PROVIDER = "openstack"
# A week.
MAX_SYNC_INTERVAL_MINUTES = 10_080


class CloudAccountQuerySet(TenantScopedQuerySet):
    """Cloud accounts; one without a tenant is shared by the platform and visible to everybody.

    Bulk writes send no signals, so only the next sweep updates the schedules.
    """

    tenant_path: ClassVar[str] = "tenant"

    def managed(self) -> Self:
        """Return the accounts in which the portal creates and changes things; those of other vendors are only listed."""
        return self.filter(provider=MANAGED_PROVIDER)

    def usable(self) -> Self:
        """Return the accounts that take new resources: managed, active ones whose last verification did not fail."""
        return self.managed().filter(active=True, last_error="")

    def for_tenant(self, tenant: Tenant) -> Self:
        """Return the tenant's own accounts and the shared ones."""
        return self.filter(models.Q(tenant=tenant) | models.Q(tenant=None))

    def visible_to(self, user: User) -> Self:
        """Return the accounts of the user's tenants and the shared ones; all for staff who may view them."""
        return self.all() if self.is_open_to(user) else self.of_member(user)

    def of_member(self, user: User) -> Self:
        """Return the accounts of the tenants that the user is a member of, and the shared ones."""
        own = Tenant.objects.of_member(user).values("pk")
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

    class Interface(models.TextChoices):
        PUBLIC = "public", _("public")
        INTERNAL = "internal", _("internal")
        ADMIN = "admin", _("admin")

    class Verification(models.TextChoices):
        VERIFIED = "verified", _("verified")  # the cloud has accepted the credentials
        FAILED = "failed", _("verification failed")  # at the last attempt; it takes no new resources
        UNVERIFIED = "unverified", _("not verified yet")  # never tried, or the first attempt is still running

    name = models.CharField(_("name"), max_length=100)
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
    # Of a vendor whose addresses its SDK knows: empty, or the endpoint of a private cloud.
    auth_url = models.URLField(_("auth URL"), max_length=500, blank=True, default="", db_default="")
    credential_kind = models.CharField(
        _("kind of credential"),
        max_length=30,
        choices=CredentialKind.choices,
        default=CredentialKind.APPLICATION_CREDENTIAL,
    )
    access_id = models.CharField(
        _("access id"), max_length=255, help_text=_("The application credential's id, or the user's name.")
    )
    # Of OpenStack the secret or password; of other vendors a JSON object with every secret of their form.
    encrypted_secret = models.TextField(editable=False, blank=True, default="")
    # What else the form of a vendor asks for, apart from the access id and secrets: {"role_arn": "arn:aws:iam::…"}.
    options = models.JSONField(_("options"), default=dict, db_default={}, blank=True, editable=False)
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
    # The audience of the endpoints that the portal uses; a catalog may have them for several.
    interface = models.CharField(
        _("endpoint interface"),
        max_length=10,
        choices=Interface.choices,
        default=Interface.PUBLIC,
        db_default="public",
        help_text=_("Which of the endpoints in the cloud's catalog the portal uses."),
    )
    resource_types = models.ManyToManyField(
        "cloudaccounts.ResourceType",
        blank=True,
        related_name="accounts",
        verbose_name=_("resource types"),
        help_text=_("The types of resources that are synced. Empty: every type of the provider."),
    )
    sync_interval_minutes = models.PositiveIntegerField(
        _("sync interval in minutes"),
        default=10,
        db_default=10,
        validators=[MaxValueValidator(MAX_SYNC_INTERVAL_MINUTES)],
        help_text=_("0: only on request."),
    )
    active = models.BooleanField(_("active"), default=True)
    # Unused: the schedules store this themselves (schedules.py). The previous release reads and writes both columns, so
    # only the next release may drop them.
    scheduled_minutes = models.PositiveIntegerField(null=True, editable=False)
    resume_schedule = models.BooleanField(null=True, editable=False)
    # Incremented by every change that a person makes: the ETag.
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    # What the last verification found: the project's id, and the services of each region.
    facts = models.JSONField(_("facts from the cloud"), default=dict, db_default={}, editable=False)
    # By region, how many seconds the cloud's clock is ahead of the portal's; what syncs last read.
    clock_offsets = models.JSONField(_("clock offsets"), default=dict, db_default={}, editable=False)
    last_verified_at = models.DateTimeField(_("last verified"), null=True, blank=True, editable=False)
    last_error = MessageField(_("last error"), blank=True, default="", editable=False)
    # When the cloud last refused the credentials, in a verification or in a sync; None once it has accepted them again.
    # It is only shown: `last_error` decides whether the account takes new resources.
    sign_in_failed_at = models.DateTimeField(_("sign-in failed"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = CloudAccountQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            # Unique per tenant: a conflict must not reveal the names of another tenant's accounts.
            models.UniqueConstraint(
                fields=["tenant", "name"], nulls_distinct=False, name="account_name_once_per_tenant"
            )
        ]
        verbose_name = _("cloud account")
        verbose_name_plural = _("cloud accounts")

    def __str__(self) -> str:
        return self.name

    @property
    def lock_key(self) -> str:
        """The key of the engine's lock on the account as a whole."""
        return f"cloud-account:{self.pk}"

    @property
    def verification(self) -> Verification:
        """The result of the last verification."""
        if self.last_error:
            return self.Verification.FAILED
        return self.Verification.VERIFIED if self.last_verified_at else self.Verification.UNVERIFIED

    @property
    def is_usable(self) -> bool:
        """Return whether the account takes new resources, as in `usable` of the queryset. Existing ones are not affected."""
        return self.is_managed and self.active and self.verification != self.Verification.FAILED

    @property
    def is_managed(self) -> bool:
        """Return whether the portal creates and changes things in it, instead of only listing them."""
        return self.provider == MANAGED_PROVIDER

    def is_owned_by(self, scope: Scope) -> bool:
        """Return whether the caller may see more of a visible account than its name: a tenant's own one, or, for staff with permission, any."""
        return self.tenant_id is not None or has_staff_permission(
            scope.user, "cloudaccounts.view_cloudaccount"
        )

    def set_secret(self, plain: str) -> None:
        """Encrypt a secret and set it; the caller saves."""
        self.encrypted_secret = encrypt(plain)

    def decrypt_secrets(self) -> dict[str, str]:
        """Return the secrets of a vendor's form by field, in plain text. Raises `UnreadableSecretError`."""
        secrets: dict[str, str] = json.loads(self.decrypt_secret() or "{}")
        return secrets

    def decrypt_secret(self) -> str:
        """Return the secret in plain text, for opening the cloud and nothing else. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_secret)
