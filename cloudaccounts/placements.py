"""Placements of new resources: a cloud account that the owner may use, and one of its regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from tenants.models import Tenant

from .models import CloudAccount, CloudResource

# The problems of a request, by field.
Errors = dict[str, list[str | Promise]]


@dataclass(frozen=True, slots=True)
class Placement:
    """An account and one of its regions."""

    account: CloudAccount
    region: str


def require_placement(
    tenant: Tenant, account_id: int | None, region: str, *, default_account_id: int | None = None
) -> Placement:
    """Return the account and region for a new resource of a tenant, as `choose_placement` does. Raises 400 `invalid`, by field."""
    accounts = CloudAccount.objects.for_tenant(tenant).managed().order_by("name")
    place, errors = choose_placement(accounts, account_id, region, default_account_id=default_account_id)
    if place is None:
        raise InvalidFieldsError(errors)
    return place


def choose_placement(
    accounts: Iterable[CloudAccount],
    account_id: int | None,
    region: str,
    *,
    default_account_id: int | None = None,
    for_new: bool = True,
) -> tuple[Placement | None, Errors]:
    """Choose the account and region for a new resource; return the placement, or the problems by field.

    The account is the one that was named, else the default, such as that of the information system, else the only usable
    one of `accounts`, which are those that the caller sees. The region is chosen likewise. An account whose last
    verification failed takes no new resources; existing ones (not `for_new`) are not affected.
    """
    chosen_id = account_id if account_id is not None else default_account_id
    account, errors = _choose_account(accounts, chosen_id, for_new=for_new)
    if account is None:
        return None, errors
    regions = list_known_regions(account.pk)
    if not regions and account.verification == CloudAccount.Verification.UNVERIFIED:
        message = _(
            "The cloud account '%(name)s' is not verified yet. Wait for the verification, or test the connection."
        )
        return None, {"account": [message % {"name": account.name}]}
    if not regions:
        message = _("The cloud account '%(name)s' has not been synced yet. Try again in a few minutes.")
        return None, {"account": [message % {"name": account.name}]}
    if region and region not in regions:
        message = _("Unknown region '%(region)s'. Available: %(known)s.")
        return None, {"region": [message % {"region": region, "known": ", ".join(regions)}]}
    if not region and len(regions) > 1:
        return None, {"region": [_("Select a region: %(known)s.") % {"known": ", ".join(regions)}]}
    return Placement(account, region or regions[0]), {}


def _choose_account(
    accounts: Iterable[CloudAccount], chosen_id: int | None, *, for_new: bool
) -> tuple[CloudAccount | None, Errors]:
    active = {account.pk: account for account in accounts if account.active}
    usable = {pk: account for pk, account in active.items() if account.is_usable or not for_new}
    if chosen_id is not None:
        account = active.get(chosen_id)
        if account is not None and for_new and (wrong := explain_unusable(account)):
            return None, {"account": [wrong]}
        if account is None:
            return None, {
                "account": [_("Cloud account not found or disabled: '%(id)s'.") % {"id": chosen_id}]
            }
    elif len(usable) == 1:
        (account,) = usable.values()
    elif usable:
        named = ", ".join(f"{one.pk} ({one.name})" for one in usable.values())
        return None, {"account": [_("Select a cloud account: %(named)s.") % {"named": named}]}
    elif active:
        return None, {"account": [text for account in active.values() if (text := explain_unusable(account))]}
    else:
        return None, {"account": [_("This tenant has no active cloud account.")]}
    return account, {}


def explain_unusable(account: CloudAccount) -> str | None:
    """Return why an active account takes no new resources; None when it does."""
    if account.is_usable:
        return None
    message = _(
        "The cloud account '%(name)s' takes no new resources: its last verification failed."
        " Correct its credentials and test the connection, or select another account."
    )
    return message % {"name": account.name}


def list_known_regions(account_id: int) -> list[str]:
    """List the regions of an account in which a sync has found resources."""
    present = CloudResource.objects.present().filter(account=account_id).order_by("region")
    return list(present.values_list("region", flat=True).distinct())
