"""Public SSH keys of people and of tenants: add, rename, delete."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError
from tenants.models import Tenant, User
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, get_visible_row

from ..models import SSHKey
from ..public_keys import PublicKey, PublicKeyError, parse_public_key

_ONCE = {"ssh_key_once_of_a_user", "ssh_key_once_of_a_tenant"}


def add_ssh_key(*, scope: Scope, name: str, public_key: str, tenant: UUID | None = None) -> SSHKey:
    """Add a key of the caller, or of a tenant. The text is parsed; what is no public key is not stored.

    Raises 403 `role_too_low` for a tenant's; 400 by field; 409 `limit_reached`.
    """
    owner = _find_tenant(scope, tenant) if tenant is not None else None
    if owner is not None:
        scope.require(Role.ADMIN, SSHKey)
    try:
        parsed = parse_public_key(public_key)
    except PublicKeyError as error:
        raise InvalidFieldsError({"public_key": [str(error)]}) from None
    with transaction.atomic():
        if owner is not None:
            require_row_limit(owner, "ssh_keys", SSHKey.objects.filter(tenant=owner))
        else:
            _require_room(scope.user)
        return _save_key(scope, owner, name, parsed)


def rename_ssh_key(*, scope: Scope, key_id: UUID, name: str) -> SSHKey:
    """Rename a key. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        key = _lock_key(scope, key_id)
        key.name = name
        key.save(update_fields=["name"])
        return key


def remove_ssh_key(*, scope: Scope, key_id: UUID) -> SSHKey:
    """Delete a key. VMs that were created with it keep it. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        key = _lock_key(scope, key_id)
        key.delete()
        return key


def _find_tenant(scope: Scope, tenant_id: UUID) -> Tenant:
    """Return the tenant of a new key. Another tenant than the scope's is as unknown as one that never was."""
    tenant: Tenant | None = Tenant.objects.within(scope).filter(pk=tenant_id).first()
    if tenant is None:
        raise InvalidFieldsError({"tenant": [_("Tenant not found: %(id)s.") % {"id": tenant_id}]})
    return tenant


def _lock_key(scope: Scope, key_id: UUID) -> SSHKey:
    key: SSHKey = get_visible_row(SSHKey.objects.select_for_update(of=("self",)), scope, key_id)
    if key.user_id != scope.user.pk:
        scope.require(Role.ADMIN, SSHKey)
    return key


def _require_room(user: User) -> None:
    """Refuse more keys of a person than the limit: 409 `limit_reached`. Locks the user, so that requests count each other's."""
    total = settings.TENANT_ROWS_AT_MOST["ssh_keys"]
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    used = SSHKey.objects.filter(user=user).count()
    if used >= total:
        raise ConflictError(
            "limit_reached",
            _("You have %(used)s SSH keys. The limit is %(total)s. Delete some that are not needed.")
            % {"used": used, "total": total},
            limit={"kind": "ssh_keys", "needed": 1, "left": 0, "total": total},
        )


def _save_key(scope: Scope, owner: Tenant | None, name: str, parsed: PublicKey) -> SSHKey:
    key = SSHKey(
        user=None if owner is not None else scope.user,
        tenant=owner,
        name=name,
        public_key=parsed.text,
        type=parsed.type,
        bits=parsed.bits,
        fingerprint=parsed.fingerprint,
    )
    try:
        with transaction.atomic():
            key.save()
    except IntegrityError as error:
        if violated_constraint(error) not in _ONCE:
            raise
        existing = SSHKey.objects.get(user=key.user, tenant=owner, fingerprint=parsed.fingerprint)
        message = _("This key is there already, as '%(name)s' (%(fingerprint)s).")
        values = {"name": existing.name, "fingerprint": existing.fingerprint}
        raise InvalidFieldsError({"public_key": [message % values]}) from None
    return key
