"""Select the accounts and regions that the syncs visit, as (account, region)."""

from __future__ import annotations

from cloudaccounts.models import CloudAccount, CloudResource

from ..models import SyncState, VirtualMachine


def select_regions_with_vms() -> list[tuple[int, str]]:
    """Return the regions of active accounts that have VMs bound to servers."""
    bound = VirtualMachine.objects.filter(openstack_id__isnull=False, account__active=True)
    return list(bound.order_by("account_id", "region").values_list("account_id", "region").distinct())


def select_known_regions() -> list[tuple[int, str]]:
    """Return the regions of active accounts of OpenStack that have or had VMs or listed resources."""
    managed = CloudAccount.objects.managed().filter(active=True)
    states = SyncState.objects.filter(account__in=managed)
    resources = CloudResource.objects.filter(account__in=managed).order_by()
    return sorted(
        {
            *select_regions_with_vms(),
            *states.values_list("account_id", "region"),
            *resources.values_list("account_id", "region").distinct(),
        }
    )


def select_moving_regions() -> list[tuple[int, str]]:
    """Return the regions with a VM that the cloud was changing at the last sync."""
    moving = VirtualMachine.objects.filter(moving=True, openstack_id__isnull=False, account__active=True)
    return list(moving.order_by("account_id", "region").values_list("account_id", "region").distinct())
