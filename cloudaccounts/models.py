"""Cloud accounts: credentials and a project on one cloud."""

from typing import ClassVar, Self

from django.core.exceptions import ValidationError
from django.db import models
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
