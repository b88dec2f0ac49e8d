"""Build the network tab of a VM's page: interfaces, security groups, who can reach it, and the choices of the forms."""

from __future__ import annotations

from typing import Any

from cloudaccounts.placements import Placement
from networks.models import SecurityGroup
from pages.panels import is_panel_request
from tenants.scoped_pages import PageRequest
from tenants.scoping import Role, Scope

from ..catalogue import Catalogue, list_withdrawn_names
from ..models import VirtualMachine
from ..services.reachability import describe_reachability

# The initial values of the forms of the tab.
NETWORK_FORMS: dict[str, dict[str, Any]] = {
    "interface": {"network": "", "fixed_ip": ""},
    "groups": {"security_groups": "", "port": ""},
    "detach_interface": {},
}


def build_network_context(request: PageRequest, scope: Scope, vm: VirtualMachine) -> dict[str, Any]:
    """Return the interfaces of the VM with who can reach each, and the choices of the forms."""
    reachability = describe_reachability(vm)
    context: dict[str, Any] = {
        "withdrawn": list_withdrawn_names(vm),
        "reachability": reachability,
    }
    if is_panel_request(request) or not scope.allows(Role.ADMIN, VirtualMachine):
        return context
    tenant = vm.information_system.tenant
    groups = SecurityGroup.objects.for_tenant(tenant).usable().filter(account=vm.account, region=vm.region)
    chosen = {
        str(group.row.pk)
        for one in reachability.interfaces
        for group in one.interface.security_groups
        if group.row is not None
    }
    # What was entered counts after an error.
    if request.method == "POST" and (sent := request.POST.getlist("security_groups")):
        chosen = set(sent)
    return context | {
        "security_groups": [
            (pk, name, str(pk) in chosen) for pk, name in groups.order_by("name").values_list("pk", "name")
        ],
        "attachable_networks": Catalogue(Placement(vm.account, vm.region), vm.information_system).networks(),
    }
