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
class Place:
    """An account and one of its regions."""

    account: CloudAccount
    region: str


def choose_place(
    system: InformationSystem, accounts: Iterable[CloudAccount], account_id: int | None, region: str
) -> tuple[Place | None, Errors]:
    """The account and region for a new VM of a system.

    The account that was named, else the system's default, else the only one there is; `accounts` are those that the
    caller sees. The region likewise.
    """
    usable = {account.pk: account for account in accounts if account.active}
    wanted = account_id if account_id is not None else system.default_account_id
    if wanted is not None:
        account = usable.get(wanted)
        if account is None:
            return None, {"account": [_("There is no active cloud account '%(id)s' here.") % {"id": wanted}]}
    elif len(usable) == 1:
        (account,) = usable.values()
    elif usable:
        named = ", ".join(f"{one.pk} ({one.name})" for one in usable.values())
        return None, {"account": [_("Name the cloud account; there are: %(named)s.") % {"named": named}]}
    else:
        return None, {"account": [_("There is no active cloud account for this tenant.")]}
    regions = regions_known(account.pk)
    if not regions:
        message = _("Nothing is known yet of the cloud account '%(name)s'; it is listed every few minutes.")
        return None, {"account": [message % {"name": account.name}]}
    if region and region not in regions:
        message = _("The account has no region '%(region)s'; it has: %(known)s.")
        return None, {"region": [message % {"region": region, "known": ", ".join(regions)}]}
    if not region and len(regions) > 1:
        return None, {"region": [_("Name the region; there are: %(known)s.") % {"known": ", ".join(regions)}]}
    return Place(account, region or regions[0]), {}


def regions_known(account_id: int) -> list[str]:
    """The regions of an account in which something was found."""
    present = CloudResource.objects.present().filter(account=account_id).order_by("region")
    return list(present.values_list("region", flat=True).distinct())
