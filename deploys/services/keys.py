"""The SSH key of a tenant: set or generate it, remove it, show its public half."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from security.encryption import UnreadableSecretError
from tenants.models import Tenant
from tenants.scoping import Role, Scope, require_tenant

from ..executors.ssh import check_private_key
from ..models import DeployKey


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The public facts of a key; never the private key."""

    is_set: bool
    public_key: str | None = None
    fingerprint: str | None = None
    updated_by: str | None = None
    updated_at: datetime | None = None


def read_key_status(scope: Scope) -> KeyStatus:
    """Return the status of the tenant's key. Raises 400 `tenant_required`, 403 for staff who may not view keys."""
    tenant = require_tenant(scope)
    scope.require(Role.VIEWER, DeployKey)
    key = DeployKey.objects.select_related("updated_by").filter(tenant=tenant).first()
    return KeyStatus(is_set=False) if key is None else describe_key(key)


def find_public_key(tenant: Tenant) -> str:
    """Return the public half of a tenant's key in OpenSSH's format; "" when there is none that can be read."""
    key = DeployKey.objects.filter(tenant=tenant).first()
    return (_derive_public_key(key)[0] or "") if key is not None else ""


def describe_key(key: DeployKey) -> KeyStatus:
    """Return the public facts of a key."""
    public, fingerprint = _derive_public_key(key)
    username = key.updated_by.get_username() if key.updated_by else None
    return KeyStatus(True, public, fingerprint, username, key.updated_at)


def validate_key(text: str) -> list[str]:
    """Return the errors of a private key's text."""
    try:
        check_private_key(text)
    except ValueError:
        return [str(_("This is no private key in OpenSSH's format, or it has a passphrase."))]
    return []


def set_key(*, scope: Scope, private_key: str) -> KeyStatus:
    """Store a key in place of an earlier one. Raises 403, 400 by field."""
    scope.require(Role.ADMIN, DeployKey)
    tenant = require_tenant(scope)
    if errors := validate_key(private_key):
        raise InvalidFieldsError({"private_key": errors})
    key = DeployKey(tenant=tenant, updated_by=scope.user)
    key.set_private_key(private_key)
    columns = {"encrypted_private_key": key.encrypted_private_key, "updated_by": scope.user}
    DeployKey.objects.update_or_create(tenant=tenant, defaults=columns)
    return read_key_status(scope)


def generate_key(*, scope: Scope) -> KeyStatus:
    """Generate a key (Ed25519) and store it in place of an earlier one; the private key never leaves the portal. Raises 403."""
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return set_key(scope=scope, private_key=text)


def remove_key(*, scope: Scope) -> None:
    """Delete the key, if there is one. Raises 403."""
    scope.require(Role.ADMIN, DeployKey)
    DeployKey.objects.filter(tenant=require_tenant(scope)).delete()


def _derive_public_key(key: DeployKey) -> tuple[str | None, str | None]:
    """Return the public key in OpenSSH's format and its fingerprint; None for a key that cannot be read."""
    try:
        private = load_ssh_private_key((key.private_key().strip() + "\n").encode(), password=None)
    except (UnreadableSecretError, ValueError, TypeError):
        return None, None
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return public, "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
