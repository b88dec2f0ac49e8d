"""Cloud accounts: credentials and a project on one cloud, and what is to be synced of it how often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from security.encryption import decrypt, encrypt
from tenants.models import Tenant, User
from tenants.scoping import Scope, TenantScoped, has_staff_permission

# A week: who wants it more seldom wants it by hand.
MOST_MINUTES = 10_080


class CloudAccountQuerySet(TenantScoped):
    """Cloud accounts; one without a tenant is shared by the platform and seen by everybody.

    Bulk writes send no signals, so they keep the schedules in step themselves, in the transaction of the write.
    """

    tenant_path: ClassVar[str] = "tenant"

    # What a schedule is made of; a write of anything else leaves it alone.
    scheduled_by: ClassVar[frozenset[str]] = frozenset({"name", "active", "sync_interval_minutes"})

    def update(self, **values: Any) -> int:
        """As Django's, with the schedules."""
        if not self.scheduled_by & values.keys():
            return super().update(**values)
        with transaction.atomic():
            changed = self._locked(no_key=True)
            count = super().update(**values)
            _keep_in_step(changed)
        return count

    def bulk_create(self, objs: Iterable[Any], *args: Any, **more: Any) -> list[Any]:
        """As Django's, with the schedules."""
        with transaction.atomic():
            made = super().bulk_create(objs, *args, **more)
            _keep_in_step([account.pk for account in made if account.pk])
        return made

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], *args: Any, **more: Any) -> int:
        """As Django's, with the schedules."""
        accounts, fields = list(objs), list(fields)
        with transaction.atomic():
            count = super().bulk_update(accounts, fields, *args, **more)
            if self.scheduled_by.intersection(fields):
                _keep_in_step([account.pk for account in accounts])
        return count

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, with the schedules."""
        from ..schedules import forget  # noqa: PLC0415 - see below.

        with transaction.atomic():
            gone = self._locked(no_key=False)
            deleted = super().delete()
            forget(gone)
        return deleted

    # As Django's own: not to be had from a manager, nor from a template.
    delete.queryset_only = True  # type: ignore[attr-defined]
    delete.alters_data = True  # type: ignore[attr-defined]

    def _locked(self, *, no_key: bool) -> list[int]:
        """The keys of the rows that are meant, locked in their order: as `keep_in_step` does it, or two would block each
        other.
        """
        rows = self.model.objects.filter(pk__in=self.order_by().values("pk")).order_by("pk")
        return list(rows.select_for_update(no_key=no_key).values_list("pk", flat=True))

    def usable(self) -> Self:
        """Those that something new may be made in: switched on, and the last verification did not fail."""
        return self.filter(active=True, last_error="")

    def for_tenant(self, tenant: Tenant) -> Self:
        """The tenant's own accounts and the shared ones."""
        return self.filter(models.Q(tenant=tenant) | models.Q(tenant=None))

    def visible_to(self, user: User) -> Self:
        """The accounts of the user's tenants and the shared ones; all for staff who may view them."""
        return self.all() if self.is_open_to(user) else self.of_member(user)

    def of_member(self, user: User) -> Self:
        """The accounts of the tenants that the user is a member of, and the shared ones."""
        own = Tenant.objects.of_member(user).values("pk")
        return self.filter(models.Q(tenant__in=own) | models.Q(tenant=None))


def _keep_in_step(account_ids: Sequence[int]) -> None:
    from ..schedules import keep_in_step  # noqa: PLC0415 - schedules are written about accounts, so it imports them.

    keep_in_step(account_ids)


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
        FAILED = "failed", _("verification failed")  # the last attempt; nothing new is made in it
        UNVERIFIED = "unverified", _("not verified yet")  # nobody has tried, or the first attempt goes on

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
    # For whom the endpoints are that the portal asks; a catalog may have them for several.
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
        help_text=_("What is synced. Empty: every type of the provider."),
    )
    sync_interval_minutes = models.PositiveIntegerField(
        _("sync interval in minutes"),
        default=10,
        db_default=10,
        validators=[MaxValueValidator(MOST_MINUTES)],
        help_text=_("0: only when somebody asks."),
    )
    active = models.BooleanField(_("active"), default=True)
    # The schedule's memory, so that what an operator did to it is told from what is still to be written
    # (schedules.py): the interval that was last written, and, while the account is off, whether to go on afterwards.
    scheduled_minutes = models.PositiveIntegerField(null=True, editable=False)
    resume_schedule = models.BooleanField(null=True, editable=False)
    # Moves with every change by a person: the ETag.
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    # What the last verification found: the project's id, and the services of each region.
    facts = models.JSONField(_("what the cloud says"), default=dict, db_default={}, editable=False)
    # By region, how many seconds the cloud's clock is ahead of the portal's; what syncs last read.
    clock_offsets = models.JSONField(_("clock offsets"), default=dict, db_default={}, editable=False)
    last_verified_at = models.DateTimeField(_("last verified"), null=True, blank=True, editable=False)
    last_error = models.TextField(_("last error"), blank=True, default="", editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = CloudAccountQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            # Not over all tenants: whether another has an account of this name is nobody's business.
            models.UniqueConstraint(
                fields=["tenant", "name"], nulls_distinct=False, name="account_name_once_per_tenant"
            )
        ]
        verbose_name = _("cloud account")
        verbose_name_plural = _("cloud accounts")

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's, with the schedule in the same transaction.

        The schedule's memory, and what syncs read of the clocks, are not for who saves a row that was read some time ago:
        `keep_in_step` and `record_clock_offset` alone write them.
        """
        if not self._state.adding and not kwargs.get("force_insert") and kwargs.get("update_fields") is None:
            kept = {
                "id",
                "scheduled_minutes",
                "resume_schedule",
                "clock_offsets",
            } | self.get_deferred_fields()
            names = [field.name for field in self._meta.concrete_fields if field.attname not in kept]
            kwargs["update_fields"] = names
        with transaction.atomic(savepoint=False):
            super().save(*args, **kwargs)

    @property
    def lock_key(self) -> str:
        """The engine's lock on the account as a whole."""
        return f"cloud-account:{self.pk}"

    @property
    def verification(self) -> Verification:
        """What the last verification has shown."""
        if self.last_error:
            return self.Verification.FAILED
        return self.Verification.VERIFIED if self.last_verified_at else self.Verification.UNVERIFIED

    @property
    def is_usable(self) -> bool:
        """Whether something new may be made in it, as `usable` of its queryset has it. What is in it already goes on."""
        return self.active and self.verification != self.Verification.FAILED

    def is_owned_by(self, scope: Scope) -> bool:
        """Whether who asks may see more of it than its name: it is his tenant's, or he is staff who may view accounts."""
        return self.tenant_id is not None or has_staff_permission(
            scope.user, "cloudaccounts.view_cloudaccount"
        )

    def set_secret(self, plain: str) -> None:
        """Encrypt and keep a secret; the caller saves."""
        self.encrypted_secret = encrypt(plain)

    def secret(self) -> str:
        """The secret in plain, for opening the cloud and nothing else. Raises `UnreadableSecret`."""
        return decrypt(self.encrypted_secret)
