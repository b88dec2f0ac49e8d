"""How people log in to VMs: their public keys, what a VM was given at its creation, and passwords on their way."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from security.encryption import decrypt, encrypt
from tenants.models import Tenant, User
from tenants.scoping import Scope, TenantScopedQuerySet

from .virtual_machine import VirtualMachine


class SSHKeyQuerySet(TenantScopedQuerySet):
    """Public keys: a tenant's are seen by its members, a person's own by that person alone (and by staff who may view keys)."""

    def within(self, scope: Scope) -> Self:
        """Return the keys of the scope's tenant, and the caller's own."""
        of_tenant = super().within(scope).order_by().values("pk")
        return self.filter(Q(pk__in=of_tenant) | Q(user=scope.user))

    def usable_in(self, tenant: Tenant, user: User) -> Self:
        """Return the keys that a user may put into a VM of a tenant: the tenant's, and their own."""
        return self.filter(Q(tenant=tenant) | Q(user=user))


class SSHKey(models.Model):
    """A public key of a person (`user`) or of a tenant, in OpenSSH's format without its comment."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="ssh_keys",
        verbose_name=_("user"),
    )
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, null=True, blank=True, related_name="ssh_keys", verbose_name=_("tenant")
    )
    name = models.CharField(_("name"), max_length=100)
    public_key = models.TextField(_("public key"), editable=False)
    type = models.CharField(_("type"), max_length=50, editable=False)
    bits = models.PositiveIntegerField(_("bits"), editable=False)
    # SHA256, as `ssh-keygen -l` shows it.
    fingerprint = models.CharField(_("fingerprint"), max_length=60, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = SSHKeyQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("SSH key")
        verbose_name_plural = _("SSH keys")
        constraints = [
            models.CheckConstraint(
                condition=Q(user=None, tenant__isnull=False) | Q(user__isnull=False, tenant=None),
                name="ssh_key_has_one_owner",
            ),
            models.UniqueConstraint(fields=["user", "fingerprint"], name="ssh_key_once_of_a_user"),
            models.UniqueConstraint(fields=["tenant", "fingerprint"], name="ssh_key_once_of_a_tenant"),
        ]

    def __str__(self) -> str:
        return self.name


class UserDataTemplateQuerySet(TenantScopedQuerySet):
    """Templates of tenants."""

    tenant_path: ClassVar[str] = "tenant"


class UserDataTemplate(models.Model):
    """User data that a tenant's administrators keep for new VMs. Encrypted, because it holds secrets as a rule."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="user_data_templates", verbose_name=_("tenant")
    )
    name = models.CharField(_("name"), max_length=100)
    encrypted_text = models.TextField(editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("updated by")
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = UserDataTemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = _("user data template")
        verbose_name_plural = _("user data templates")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"], name="user_data_template_name_unique_in_tenant"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def set_text(self, plain: str) -> None:
        """Encrypt user data and put it into the row; the caller saves."""
        self.encrypted_text = encrypt(plain)

    def decrypt_text(self) -> str:
        """Return the user data. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_text)


class VMLogin(models.Model):
    """What a VM was given at its creation, so that people can log in. The worker reads it; it stays as long as the VM.

    It keeps copies of the keys, so that a key that is deleted later does not change what the VM has.
    """

    vm = models.OneToOneField(VirtualMachine, models.CASCADE, primary_key=True, related_name="login")
    # A list of {"name", "fingerprint", "public_key"}.
    ssh_keys = models.JSONField(default=list)
    # The name of the key pair in Nova; "" without one.
    key_name = models.CharField(max_length=255, blank=True, default="")
    # The tenant's deploy key, if it was put in.
    deploy_public_key = models.TextField(blank=True, default="")
    # What the person entered, without the portal's part.
    encrypted_user_data = models.TextField(blank=True, default="")
    # None leaves the choice to the image and the cloud.
    config_drive = models.BooleanField(null=True, blank=True)

    class Meta:
        verbose_name = _("login of a VM")
        verbose_name_plural = _("logins of VMs")
        indexes = [
            models.Index(fields=["key_name"], name="vm_login_by_key_name", condition=~Q(key_name="")),
        ]

    def __str__(self) -> str:
        return str(self.vm_id)

    def decrypt_user_data(self) -> str:
        """Return the user data that the person entered. Raises `UnreadableSecretError`."""
        return decrypt(self.encrypted_user_data)


class PasswordReset(models.Model):
    """A new password on its way to a VM, for the worker alone. It is deleted in the transaction that ends the job."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    vm = models.ForeignKey(VirtualMachine, models.CASCADE, related_name="password_resets")
    encrypted_password = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("password reset")
        verbose_name_plural = _("password resets")

    def __str__(self) -> str:
        return str(self.vm_id)


class PasswordReading(models.Model):
    """The password that a server has reported to Nova (Windows), as it was last read: encrypted with the key pair's RSA key.

    Only the holder of the private key can read it. It is stored encrypted a second time, as everything that grants access.
    """

    vm = models.OneToOneField(
        VirtualMachine, models.CASCADE, primary_key=True, related_name="password_reading"
    )
    encrypted_text = models.TextField(blank=True, default="")
    read_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("password reading")
        verbose_name_plural = _("password readings")

    def __str__(self) -> str:
        return str(self.vm_id)
