"""Identities at providers, rules that give roles, second factors."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant, User
from tenants.scoping import Role, TenantScopedQuerySet


class ExternalIdentity(models.Model):
    """A user of the portal as a provider knows them.

    The subject identifies the user: names and addresses may change, or be given to somebody else. No identity is ever joined to
    a user that existed before it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.OneToOneField(
        User, models.CASCADE, related_name="external_identity", verbose_name=_("user")
    )
    provider = models.CharField(_("provider"), max_length=30)
    # The issuer of the subject: another server under the same key in the settings does not get its users.
    issuer = models.CharField(_("issuer"), max_length=500)
    subject = models.CharField(_("subject"), max_length=255)
    # The groups at the last sign-in, for the preview of the rules.
    groups = models.JSONField(_("groups"), default=list, db_default=models.Value([], models.JSONField()))
    created_at = models.DateTimeField(_("created"), db_default=Now())
    last_used_at = models.DateTimeField(_("last used"), db_default=Now())

    class Meta:
        ordering = ["provider", "user__username"]
        verbose_name = _("external identity")
        verbose_name_plural = _("external identities")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["provider", "issuer", "subject"], name="external_identity_of_one_user"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.subject}"


class RoleRule(models.Model):
    """A rule: members of a group at a provider get a role in a tenant when they sign in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.CharField(
        _("provider"), max_length=30, help_text=_("The key of the provider in the settings.")
    )
    group = models.CharField(
        _("group"),
        max_length=500,
        help_text=_("Exactly as the provider names it, with upper and lower case."),
    )
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", verbose_name=_("tenant"))
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = TenantScopedQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "group", "tenant__name"]
        verbose_name = _("role rule")
        verbose_name_plural = _("role rules")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["provider", "group", "tenant"], name="role_rule_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="role_rule_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.group} → {self.tenant} ({self.role})"


class TotpDevice(models.Model):
    """An authenticator app of a user: it computes a code from a secret and the time (RFC 6238).

    `User.second_factor` says whether the user has a confirmed one, so that a request needs no further query.
    """

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="totp_device", verbose_name=_("user")
    )
    encrypted_secret = models.TextField(editable=False)
    # Empty until the user has entered a code of the app.
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, editable=False)
    # The number of the interval whose code was accepted last: each code is accepted once.
    last_interval = models.BigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("authenticator app")
        verbose_name_plural = _("authenticator apps")

    def __str__(self) -> str:
        return str(self.user)


class Passkey(models.Model):
    """A passkey of a user: the public key of a pair whose other half stays in a device (WebAuthn)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="passkeys", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=100)
    # 1 to 1,023 bytes in base64url. It is unique among all users, as the standard demands.
    credential_id = models.CharField(max_length=1400, unique=True, editable=False)
    # The attested credential data of the standard: the model of the device, the id and the public key.
    credential = models.BinaryField(editable=False)
    # How many signatures the device had counted at the last one; 0 for a device that does not count.
    sign_count = models.BigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        ordering = ["created_at"]
        verbose_name = _("passkey")
        verbose_name_plural = _("passkeys")

    def __str__(self) -> str:
        return f"{self.user}: {self.name}"


class RecoveryCode(models.Model):
    """A code that replaces the second factor once. Only its keyed hash is stored."""

    user = models.ForeignKey(User, models.CASCADE, related_name="recovery_codes", verbose_name=_("user"))
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(_("used"), null=True, editable=False)

    class Meta:
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "digest"], name="recovery_code_once"),
        ]

    def __str__(self) -> str:
        return str(self.user)


class ServiceAccount(models.Model):
    """A program of a tenant. It acts as a user of its own, who has no password, and only through tokens with limits."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="service_accounts", verbose_name=_("tenant")
    )
    user = models.OneToOneField(
        User, models.CASCADE, related_name="service_account", verbose_name=_("user"), editable=False
    )
    name = models.SlugField(_("name"), max_length=50)
    description = models.CharField(_("description"), max_length=500, blank=True, default="")
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name=_("created by"), editable=False
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = TenantScopedQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = _("service account")
        verbose_name_plural = _("service accounts")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "name"], name="service_account_name_once_per_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.tenant}: {self.name}"
