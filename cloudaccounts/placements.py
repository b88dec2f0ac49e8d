"""Where something new is to be: an account that its owner may use, and one of the account's regions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.models import InformationSystem

from .models import CloudAccount, CloudResource

# What is wrong with a request, by field.
Errors = dict[str, list[str | Promise]]


@dataclass(frozen=True, slots=True)
class Placement:
    """An account and one of its regions."""

    account: CloudAccount
    region: str


def choose_placement(
    system: InformationSystem,
    accounts: Iterable[CloudAccount],
    account_id: int | None,
    region: str,
    *,
    for_new: bool = True,
) -> tuple[Placement | None, Errors]:
    """The account and region for a new VM of a system.

    The account that was named, else the system's default, else the only one that can be used; `accounts` are those that
    the caller sees. The region likewise. Nothing new is made in an account whose last verification failed; what is in it
    already (not `for_new`) goes on.
    """
    account, errors = _choose_account(system, accounts, account_id, for_new=for_new)
    if account is None:
        return None, errors
    regions = list_known_regions(account.pk)
    if not regions and account.verification == CloudAccount.Verification.UNVERIFIED:
        message = _("The cloud account '%(name)s' is not verified yet; wait for that, or verify it.")
        return None, {"account": [message % {"name": account.name}]}
    if not regions:
        message = _("Nothing is known yet of the cloud account '%(name)s'; it is listed every few minutes.")
        return None, {"account": [message % {"name": account.name}]}
    if region and region not in regions:
        message = _("The account has no region '%(region)s'; it has: %(known)s.")
        return None, {"region": [message % {"region": region, "known": ", ".join(regions)}]}
    if not region and len(regions) > 1:
        return None, {"region": [_("Name the region; there are: %(known)s.") % {"known": ", ".join(regions)}]}
    return Placement(account, region or regions[0]), {}


def _choose_account(
    system: InformationSystem, accounts: Iterable[CloudAccount], account_id: int | None, *, for_new: bool
) -> tuple[CloudAccount | None, Errors]:
    active = {account.pk: account for account in accounts if account.active}
    usable = {pk: account for pk, account in active.items() if account.is_usable or not for_new}
    wanted = account_id if account_id is not None else system.default_account_id
    if wanted is not None:
        account = active.get(wanted)
        if account is not None and for_new and (wrong := explain_unusable(account)):
            return None, {"account": [wrong]}
        if account is None:
            return None, {"account": [_("There is no active cloud account '%(id)s' here.") % {"id": wanted}]}
    elif len(usable) == 1:
        (account,) = usable.values()
    elif usable:
        named = ", ".join(f"{one.pk} ({one.name})" for one in usable.values())
        return None, {"account": [_("Name the cloud account; there are: %(named)s.") % {"named": named}]}
    elif active:
        return None, {"account": [text for account in active.values() if (text := explain_unusable(account))]}
    else:
        return None, {"account": [_("There is no active cloud account for this tenant.")]}
    return account, {}


def explain_unusable(account: CloudAccount) -> str | None:
    """Why nothing new can be made in an account that is switched on; None when it can."""
    if account.is_usable:
        return None
    message = _(
        "Nothing new can be made in the cloud account '%(name)s': its last verification failed."
        " Put its credentials right and verify it again, or choose another account."
    )
    return message % {"name": account.name}


def list_known_regions(account_id: int) -> list[str]:
    """The regions of an account in which something was found."""
    present = CloudResource.objects.present().filter(account=account_id).order_by("region")
    return list(present.values_list("region", flat=True).distinct())
