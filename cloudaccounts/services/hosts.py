"""Read the compute hosts of an account, for staff."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from api.domain_errors import ConflictError
from tasks import engine
from tasks.models import Job
from tenants.scoping import Role, Scope, require_staff_permission

from ..commands import ReadHostsCommand
from ..models import CloudAccount
from .accounts import get_account, require_managed


def get_account_for_hosts(scope: Scope, account_id: int, *, needed: Role = Role.VIEWER) -> CloudAccount:
    """Return an account whose hosts the caller may see: staff with permission, and nobody else. Raises `NotFoundError`, 403."""
    account = get_account(scope, account_id, needed)
    action = "view" if needed == Role.VIEWER else "change"
    require_staff_permission(scope.user, f"cloudaccounts.{action}_cloudaccount")
    return account


def read_hosts(*, scope: Scope, account_id: int) -> Job:
    """Submit a reading of an account's hosts; return its job, or that of a reading in progress.

    Raises `NotFoundError`; 403 `staff_only`, `permission_missing`; 409 `only_listed`, `inactive`.
    """
    with transaction.atomic():
        account = get_account_for_hosts(scope, account_id, needed=Role.OPERATOR)
        require_managed(account)
        if not account.active:
            raise ConflictError("inactive", _("The cloud account is disabled."))
        # Of no tenant: its members must not see what staff read.
        return engine.submit(ReadHostsCommand(account.pk), tenant=None, user=scope.user).job
