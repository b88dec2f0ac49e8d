"""The VMs that depend on servers of the cloud inventory, with their information systems and tenants."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _

from cloudaccounts.dependents import MAX_NAMED, Dependent, DependentGroup
from cloudaccounts.models import CloudAccount
from tenants.scoping import Scope

from .models import VirtualMachine


def find_dependent_vms(
    scope: Scope, account: CloudAccount, region: str, server_ids: Sequence[str]
) -> list[DependentGroup]:
    """Return the VMs that are these servers, and the information systems and tenants that they belong to."""
    vms = VirtualMachine.objects.within(scope).filter(
        account=account, region=region, openstack_id__in=server_ids
    )
    systems = list(
        vms.order_by("information_system__name", "information_system")
        .values_list("information_system", "information_system__name", "information_system__tenant__name")
        .annotate(vms=Count("pk"))
    )
    total = sum(count for _pk, _name, _tenant, count in systems)
    if not total:
        return []
    named = vms.select_related("information_system__tenant").order_by("name", "pk")[:MAX_NAMED]
    tenants = sorted({tenant for _pk, _name, tenant, _count in systems})
    return [
        DependentGroup(
            "vm",
            _("Virtual machines"),
            total,
            [
                Dependent(
                    str(vm.pk),
                    vm.name,
                    reverse("vm-detail-page", args=[vm.pk]),
                    vm.status,
                    vm.information_system.name,
                    vm.information_system.tenant.name,
                )
                for vm in named
            ],
        ),
        DependentGroup(
            "information_system",
            _("Applications"),
            len(systems),
            [
                Dependent(str(pk), name, f"{reverse('vm-page')}?information_system={pk}", "", name, tenant)
                for pk, name, tenant, _count in systems[:MAX_NAMED]
            ],
        ),
        DependentGroup(
            "tenant",
            _("Tenants"),
            len(tenants),
            [Dependent("", name, "", "", "", name) for name in tenants[:MAX_NAMED]],
        ),
    ]
