"""The resources that VMs are created from, for tests that are not about syncing them."""

from __future__ import annotations

from copy import copy
from uuid import uuid4

from django.utils import timezone

from cloudaccounts.models import CloudAccount, CloudResource
from cloudaccounts.registry import list_syncers
from cloudaccounts.sync.resources import sync_resource

_synced: dict[str, list[CloudResource]] = {}


def list_catalogue_types() -> list[str]:
    """Return the types of resources that VMs are created from: flavors, images, networks and the like."""
    return [syncer.type for syncer in list_syncers("openstack") if syncer.catalogue]


def sync_catalogue(account: CloudAccount) -> None:
    """Give an account the resources that VMs are made of, as syncs of its simulated cloud find them.

    The syncs run for the first account of a test process. The simulator offers the same after every reset, so each
    later account gets copies of those rows, at a tenth of the time; hundreds of tests need them.
    """
    if account.auth_url not in _synced:
        for type_code in list_catalogue_types():
            log = sync_resource(account.pk, type_code)
            assert log.state == "success", log.message
        _synced[account.auth_url] = list(CloudResource.objects.filter(account=account))
        return
    now = timezone.now()
    copies = [copy(resource) for resource in _synced[account.auth_url]]
    for resource in copies:
        resource.pk, resource.account = uuid4(), account
        resource.first_seen_at = resource.last_seen_at = resource.changed_at = now
    CloudResource.objects.bulk_create(copies)
