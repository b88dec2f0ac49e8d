"""The services that run on VMs of the cloud inventory."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.translation import gettext as _

from cloudaccounts.dependents import MAX_NAMED, Dependent, DependentGroup
from cloudaccounts.models import CloudAccount
from tenants.scoping import Scope

from .models import Host, MicroService, MicroServiceInstance


def find_dependent_services(
    scope: Scope, account: CloudAccount, region: str, server_ids: Sequence[str]
) -> list[DependentGroup]:
    """Return the services with an instance on a host whose VM is one of these servers, and the hosts."""
    hosts = Host.objects.within(scope).filter(
        vm__account=account, vm__region=region, vm__openstack_id__in=server_ids
    )
    # The hosts are few beside the servers, and asked for twice.
    found = list(hosts.select_related("tenant").order_by("hostname", "pk"))
    if not found:
        return []
    instances = MicroServiceInstance.objects.within(scope).filter(host__in=found)
    services = list(
        MicroService.objects.within(scope)
        .filter(pk__in=instances.values("service"))
        .select_related("information_system__tenant")
        .order_by("name", "pk")
    )
    return [
        DependentGroup(
            "host",
            _("Hosts"),
            len(found),
            [
                Dependent(
                    str(host.pk),
                    host.hostname,
                    reverse("host-detail-page", args=[host.pk]),
                    tenant=host.tenant.name,
                )
                for host in found[:MAX_NAMED]
            ],
        ),
        DependentGroup(
            "service",
            _("Services"),
            len(services),
            [
                Dependent(
                    str(service.pk),
                    service.name,
                    reverse("service-detail-page", args=[service.pk]),
                    "",
                    service.information_system.name,
                    service.information_system.tenant.name,
                )
                for service in services[:MAX_NAMED]
            ],
        ),
    ]
