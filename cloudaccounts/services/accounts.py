"""Use cases of accounts: create, change, verify, delete."""

from __future__ import annotations

import json
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from api.database_errors import violated_constraint
from api.domain_errors import ConflictError, InvalidFieldsError, NotFoundError
from api.preconditions import check_if_match
from tasks import engine
from tasks.models import Job
from tenants.models import User
from tenants.row_limits import require_row_limit
from tenants.scoping import Role, Scope, require_staff_permission

from ..commands import RemoveAccountCommand, VerifyAccountCommand
from ..credentials import LOGIN_FIELDS, SECRET_REQUIRED, build_secret, find_form, is_secret_required
from ..models import MANAGED_PROVIDER, CloudAccount, ResourceType, SyncLog
from ..registry import list_providers, list_syncers

# A change of one of these fields starts a verification.
CREDENTIAL_FIELDS = frozenset({*LOGIN_FIELDS, "secret", "provider", "regions"})


def create_account(*, scope: Scope, fields: dict[str, Any]) -> tuple[CloudAccount, Job]:
    """Create an account for the scope's tenant, or a shared one when staff name none; it is verified, then synced.

    Raises 403 `role_too_low`, 409 `name_taken`, `limit_reached`.
    """
    scope.require(Role.ADMIN, CloudAccount)
    secret, types = fields.pop("secret", ""), fields.pop("resource_types", [])
    if secrets := fields.pop("secrets", None):
        secret = json.dumps(secrets)
    account = CloudAccount(tenant=scope.tenant, **fields)
    account.set_secret(secret)
    with transaction.atomic():
        if scope.tenant is not None:
            own = CloudAccount.objects.filter(tenant=scope.tenant)
            require_row_limit(scope.tenant, "cloud_accounts", own)
        _save_account(account)
        account.resource_types.set(types)
        job = handle_saved_account(account, user=scope.user, changed=CREDENTIAL_FIELDS)
        assert job is not None
    account.refresh_from_db()
    return account, job


def change_account(
    *, scope: Scope, account_id: int, fields: dict[str, Any], if_match: str | None
) -> tuple[CloudAccount, Job | None]:
    """Change an account; return it with the job that verifies it, if its credentials were changed.

    Raises `NotFoundError`, 403, 412 when `if_match` is of an older version, 409 `name_taken`, `busy`, 400 when the secret must be entered again.
    """
    with transaction.atomic():
        account = lock_account(scope, account_id, if_match)
        if (holder := engine.lock_holder(account.lock_key)) is not None:
            raise engine.BusyError(holder)
        secret, types = fields.pop("secret", None), fields.pop("resource_types", None)
        secrets = fields.pop("secrets", None)
        changed = {name for name, value in fields.items() if getattr(account, name) != value}
        form = find_form(account.provider)
        if form is not None and (secrets or changed & {"auth_url", "access_id"}):
            secret, missing = build_secret(form, account, secrets or {}, frozenset(changed))
            if missing:
                raise InvalidFieldsError({"credentials": missing})
        elif is_secret_required(frozenset(changed)) and not secret:
            raise InvalidFieldsError({"secret": [SECRET_REQUIRED]})
        for name, value in fields.items():
            setattr(account, name, value)
        if secret is not None:
            account.set_secret(secret)
            changed.add("secret")
        account.version = F("version") + 1
        _save_account(account)
        if types is not None:
            account.resource_types.set(types)
        account.refresh_from_db()
        job = handle_saved_account(account, user=scope.user, changed=frozenset(changed))
    return account, job


def handle_saved_account(account: CloudAccount, *, user: User | None, changed: frozenset[str]) -> Job | None:
    """Close the syncs of a disabled account, and verify one whose credentials have changed; return the job, if any.

    Call it in the transaction of the save. The signal of the save writes the schedule.
    """
    if "active" in changed and not account.active:
        SyncLog.objects.filter(account=account).close(_("The account was disabled."))
    if not account.active or not changed & (CREDENTIAL_FIELDS | {"active"}):
        return None
    return _submit_verification(account, user, then_sync=True)


def verify_account(*, scope: Scope, account_id: int) -> tuple[CloudAccount, Job]:
    """Submit the verification of an account's credentials. Raises `NotFoundError`, 403."""
    with transaction.atomic():
        account = lock_account(scope, account_id, None)
        return account, _submit_verification(account, scope.user, then_sync=False)


def _submit_verification(account: CloudAccount, user: User | None, *, then_sync: bool) -> Job:
    command = VerifyAccountCommand(account.pk, then_sync=then_sync)
    try:
        with transaction.atomic():
            return engine.submit(command, tenant=account.tenant, user=user).job
    except engine.BusyError as busy:
        # The verification that is running notices the account's new version and starts again.
        return busy.job


def remove_account(*, scope: Scope, account_id: int, if_match: str | None = None) -> tuple[CloudAccount, Job]:
    """Submit the deletion of an account, with its schedule and everything that was synced. Raises `NotFoundError`, 403, 412, 409 `in_use`."""
    with transaction.atomic():
        account = lock_account(scope, account_id, if_match)
        return account, engine.submit(
            RemoveAccountCommand(account.pk), tenant=account.tenant, user=scope.user
        ).job


def get_account(scope: Scope, account_id: int, needed: Role = Role.ADMIN) -> CloudAccount:
    """Return an account, and require a role for it. Raises `NotFoundError`, 403 `role_too_low`, `staff_only` for a shared one."""
    return require_account_access(
        scope, CloudAccount.objects.within(scope).filter(pk=account_id).first(), needed
    )


def require_managed(account: CloudAccount) -> None:
    """Refuse an account of a vendor whose resources the portal only lists. Raises 409 `only_listed`."""
    if not account.is_managed:
        message = _("The portal only lists what is in '%(name)s', and changes nothing there.")
        raise ConflictError("only_listed", message % {"name": account.name})


def require_account_access(scope: Scope, account: CloudAccount | None, needed: Role) -> CloudAccount:
    """Return the account after requiring a role for it. Raises as `get_account`, also for None."""
    if account is None:
        raise NotFoundError
    scope.require(needed, CloudAccount)
    if account.tenant_id is None:
        require_staff_permission(
            scope.user, f"cloudaccounts.{'view' if needed == Role.VIEWER else 'change'}_cloudaccount"
        )
    return account


def lock_account(scope: Scope, account_id: int, if_match: str | None) -> CloudAccount:
    """Lock an account that the caller may change. Raises `NotFoundError`, 403 `role_too_low`, `staff_only`, 412."""
    # Without the key: a sync that inserts a resource waits for a lock of the key while it holds its log, and whoever disables the
    # account waits for the log.
    locked = CloudAccount.objects.within(scope).select_for_update(of=("self",), no_key=True)
    visible = locked.select_related("tenant")
    account = require_account_access(scope, visible.filter(pk=account_id).first(), Role.ADMIN)
    check_if_match(if_match, account.version)
    return account


def describe_providers() -> list[dict[str, Any]]:
    """Describe each type of cloud, in the reader's language."""
    return [
        {
            "code": provider.code,
            "label": str(provider.label),
            "is_installed": provider.is_installed(),
            "requirements": provider.requirements,
            "is_managed": provider.code == MANAGED_PROVIDER,
            "takes_endpoint": provider.takes_endpoint,
            "credentials": provider.fields,
            "types": [syncer.type for syncer in list_syncers(provider.code)],
            "permissions": provider.list_permissions(),
            "policy": provider.build_policy(),
        }
        for provider in list_providers()
    ]


def find_types(provider: str, codes: list[str]) -> tuple[list[ResourceType], list[str]]:
    """Return the types of a provider with some codes, and the codes that none has."""
    types = ResourceType.objects.filter(provider=provider, code__in=codes)
    found = {resource_type.code: resource_type for resource_type in types}
    return list(found.values()), [code for code in codes if code not in found]


def _save_account(account: CloudAccount) -> None:
    try:
        with transaction.atomic():
            account.save()
    except IntegrityError as error:
        if violated_constraint(error) != "account_name_once_per_tenant":
            raise
        raise ConflictError(
            "name_taken",
            _("A cloud account named '%(name)s' already exists.") % {"name": account.name},
            errors={"name": [_("This name is already in use.")]},
        ) from None
