"""Choose the cloud account and region of a new object of a tenant."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidError, InvalidFieldsError
from cloudaccounts.models import CloudAccount
from cloudaccounts.placements import Placement, explain_unusable, list_known_regions
from tenants.models import Tenant
from tenants.scoping import Scope


def require_tenant(scope: Scope) -> Tenant:
    """Return the tenant of the scope. Raises 400 `tenant_required` for staff who named none."""
    if scope.tenant is None:
        raise InvalidError("tenant_required", _("Name the tenant that it is for in the X-Tenant header."))
    return scope.tenant


def choose_place(tenant: Tenant, account_id: int | None, region: str) -> Placement:
    """Return the account and region that were named, or the only ones that the tenant has. Raises 400 `invalid`, by field."""
    usable = {account.pk: account for account in CloudAccount.objects.for_tenant(tenant).filter(active=True)}
    account = usable.get(account_id) if account_id is not None else None
    if account_id is not None and account is None:
        message = _("Cloud account not found or disabled: '%(id)s'.")
        raise InvalidFieldsError({"account": [message % {"id": account_id}]})
    if account is None and len(usable) == 1:
        (account,) = usable.values()
    if account is None:
        named = ", ".join(f"{one.pk} ({one.name})" for one in usable.values())
        select = _("Select a cloud account: %(named)s.") % {"named": named}
        none = _("This tenant has no active cloud account.")
        raise InvalidFieldsError({"account": [select if usable else none]})
    if wrong := explain_unusable(account):
        raise InvalidFieldsError({"account": [wrong]})
    regions = list_known_regions(account.pk)
    problem: Any = None
    if not regions:
        problem = {
            "account": _("The cloud account '%(name)s' has not been synced yet. Try again in a few minutes.")
            % {"name": account.name}
        }
    elif region and region not in regions:
        problem = {
            "region": _("Unknown region '%(region)s'. Available: %(known)s.")
            % {"region": region, "known": ", ".join(regions)}
        }
    elif not region and len(regions) > 1:
        problem = {"region": _("Select a region: %(known)s.") % {"known": ", ".join(regions)}}
    if problem is not None:
        raise InvalidFieldsError({name: [text] for name, text in problem.items()})
    return Placement(account, region or regions[0])
