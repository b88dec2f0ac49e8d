"""Service accounts of tenants and their tokens. Only people manage them: no token makes a token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from api.models import ApiToken
from events.recording import record_event
from tenants.models import Membership, User
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, lock_row, require_tenant

from ..models import ServiceAccount

TOKENS_AT_MOST = 50


def create_service_account(*, scope: Scope, name: str, role: str, description: str = "") -> ServiceAccount:
    """Create a service account with a role in the scope's tenant. Raises 403, 400 `tenant_required`, 409 `name_taken`."""
    scope.require(Role.ADMIN, ServiceAccount)
    tenant = require_tenant(scope)
    try:
        with transaction.atomic():
            require_row_limit(tenant, "service_accounts", ServiceAccount.objects.filter(tenant=tenant))
            # No person can have this name: the slash is not allowed in usernames.
            user = User(username=f"{tenant.slug}/{name}")
            user.set_unusable_password()
            user.save(force_insert=True)
            Membership.objects.create(user=user, tenant=tenant, role=role)
            return ServiceAccount.objects.create(
                tenant=tenant, user=user, name=name, description=description, created_by=scope.user
            )
    except IntegrityError as error:
        if violated_constraint(error) not in {
            "service_account_name_once_per_tenant",
            "tenants_user_username_key",
        }:
            raise
        raise ConflictError(
            "name_taken",
            _("The tenant already has a service account named '%(name)s'.") % {"name": name},
            errors={"name": [_("This name is already in use.")]},
        ) from None


def change_service_account(*, scope: Scope, account_id: UUID, fields: dict[str, Any]) -> ServiceAccount:
    """Change description, role, and whether the account is active. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        account = _lock(scope, account_id)
        if "description" in fields:
            account.description = fields["description"]
            account.save(update_fields=["description"])
        if "role" in fields:
            Membership.objects.update_or_create(
                user=account.user, tenant=account.tenant, defaults={"role": fields["role"]}
            )
        if "active" in fields:
            account.user.is_active = fields["active"]
            account.user.save(update_fields=["is_active"])
        return account


def remove_service_account(*, scope: Scope, account_id: UUID) -> None:
    """Remove a service account with its tokens. Its user stays, disabled: tasks and events name it."""
    with transaction.atomic():
        account = _lock(scope, account_id)
        user = account.user
        ApiToken.objects.filter(user=user).delete()
        Membership.objects.filter(user=user).delete()
        account.delete()
        user.is_active = False
        user.username = f"{user.username}#{str(user.pk)[:8]}"
        user.save(update_fields=["is_active", "username"])


def list_tokens(account: ServiceAccount) -> QuerySet[ApiToken]:
    """Return the tokens of a service account, newest first."""
    tokens: QuerySet[ApiToken] = ApiToken.objects.filter(user_id=account.user_id).order_by("-created")
    return tokens


def create_token(
    *,
    scope: Scope,
    account_id: UUID,
    name: str,
    scopes: list[str],
    role: str = "",
    expires_at: datetime | None = None,
    allowed_addresses: list[str] | None = None,
) -> ApiToken:
    """Create a token of a service account. Its attribute `token` has the token itself, which is stored nowhere.

    A token without a role has that of the account; one without an end lasts API_TOKEN_DAYS. Raises `NotFoundError`, 403, 400
    for a role above the account's or an end in the past or beyond SERVICE_TOKEN_DAYS_AT_MOST, 409 `limit_reached`.
    """
    with transaction.atomic():
        account = _lock(scope, account_id)
        own = Role(Membership.objects.get(user=account.user, tenant=account.tenant).role)
        if role and not own.covers(Role(role)):
            raise InvalidFieldsError(
                {"role": [_("The service account has the role '%(role)s' only.") % {"role": own.label}]}
            )
        if list_tokens(account).count() >= TOKENS_AT_MOST:
            raise ConflictError(
                "limit_reached",
                _("A service account has at most %(most)s tokens. Revoke one first.")
                % {"most": TOKENS_AT_MOST},
            )
        token, secret = ApiToken.objects.create(
            user=account.user,
            name=name,
            expiry=_find_lifetime(expires_at),
            tenant_id=account.tenant_id,
            role=role or own,
            scopes=scopes,
            allowed_addresses=allowed_addresses or [],
        )
        _record("service_account.token_created", account, token)
    token.token = secret
    return token


def revoke_token(*, scope: Scope, account_id: UUID, token_id: UUID) -> None:
    """Revoke a token of a service account. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        account = _lock(scope, account_id)
        token = list_tokens(account).filter(id=token_id).first()
        if token is None:
            raise NotFoundError
        _record("service_account.token_revoked", account, token)
        token.delete()


def find_end(days: int) -> datetime:
    """Return the time in so many days, for a form. Days beyond the limit are refused when the token is created."""
    return timezone.now() + timedelta(days=days)


def _find_lifetime(expires_at: datetime | None) -> Any:
    now = timezone.now()
    if expires_at is None:
        return timedelta(days=settings.API_TOKEN_DAYS)
    most = settings.SERVICE_TOKEN_DAYS_AT_MOST
    if not now < expires_at <= now + timedelta(days=most):
        raise InvalidFieldsError(
            {
                "expires_at": [
                    _("Enter a time in the future, at most %(days)s days from now.") % {"days": most}
                ]
            }
        )
    return expires_at - now


def _lock(scope: Scope, account_id: UUID) -> ServiceAccount:
    account: ServiceAccount = lock_row(
        ServiceAccount.objects.select_related("user", "tenant"), scope, account_id, Role.ADMIN
    )
    return account


def _record(code: str, account: ServiceAccount, token: ApiToken) -> None:
    record_event(
        code,
        tenant_id=account.tenant_id,
        object_type="service_account",
        object_id=account.pk,
        object_name=account.name,
        parameters={"token": token.name, "role": token.role, "scopes": token.scopes},
    )
