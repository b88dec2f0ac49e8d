"""Choose the networks, security groups, server group and floating IP of new VMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from api.domain_errors import InvalidFieldsError
from cloudaccounts.models import CloudResource
from cloudaccounts.placements import Errors, Placement
from networks.addresses import read_fixed_address
from networks.models import FloatingIp, ServerGroup
from networks.services import build_floating_ip, choose_external_network, require_floating_ip_limit
from tenants.models import InformationSystem, Tenant

from ..catalogue import Catalogue
from ..models import VirtualMachine
from .interfaces import require_groups


@dataclass(slots=True)
class NetworkChoices:
    """The choices for the networks of new VMs. `networks` is None for the one network that the catalogue has chosen."""

    networks: list[dict[str, str]] | None = None
    security_group_ids: list[str] = field(default_factory=list)
    server_group_id: str | None = None
    external_network: CloudResource | None = None
    place: Placement | None = None


def name_first_network(params: Mapping[str, Any], problems: Errors) -> Mapping[str, Any]:
    """Return the parameters with the first of several networks as `network`, which the catalogue checks."""
    if not params.get("networks"):
        return params
    if params.get("network"):
        problems.setdefault("networks", []).append(_("Enter either network or networks."))
        return params
    return {**params, "network": params["networks"][0]["network"]}


def choose_networks(
    system: InformationSystem | None,
    place: Placement | None,
    params: Mapping[str, Any],
    problems: Errors,
    *,
    count: int,
) -> NetworkChoices:
    """Choose for the parameters of a request; add the errors to `problems`, by field."""
    choices = NetworkChoices(place=place)
    if system is None or place is None:
        return choices
    if params.get("networks"):
        choices.networks = _choose_each_network(system, place, params["networks"], problems, count=count)
    if params.get("security_groups"):
        try:
            choices.security_group_ids = require_groups(system.tenant, place, params["security_groups"])
        except InvalidFieldsError as refused:
            problems.update(refused.errors or {})
    if params.get("server_group"):
        choices.server_group_id = _find_server_group(system, place, params["server_group"], problems)
    if params.get("floating_network"):
        try:
            choices.external_network = choose_external_network(
                system.tenant, place, params["floating_network"], "floating_network"
            )
        except InvalidFieldsError as refused:
            problems.update(refused.errors or {})
    return choices


def _choose_each_network(
    system: InformationSystem,
    place: Placement,
    wanted: Sequence[Mapping[str, str]],
    problems: Errors,
    *,
    count: int,
) -> list[dict[str, str]]:
    """Return the networks with their addresses of choice; an error names the network that it is about."""
    catalogue = Catalogue(place, system)
    errors: list[str | Promise] = []
    chosen: list[dict[str, str]] = []
    taken: set[tuple[str, str]] = set()
    for one in wanted:
        network_id, address = one["network"], one.get("fixed_ip", "")
        network = catalogue.find_network(network_id, errors)
        if network is None:
            continue
        if address and count > 1:
            errors.append(_("Several VMs can't have the same address. Leave fixed_ip out."))
        elif address:
            address = read_fixed_address(network, address, errors)
        if address and (network_id, address) in taken:
            errors.append(_("The address %(address)s is entered twice.") % {"address": address})
        taken.add((network_id, address))
        chosen.append({"network_id": network_id, "fixed_ip": address})
    if errors:
        problems.pop("network", None)  # It repeats what is said about the first of the networks.
        problems.setdefault("networks", []).extend(errors)
    return chosen


def _find_server_group(
    system: InformationSystem, place: Placement, wanted: UUID, problems: Errors
) -> str | None:
    group = (
        ServerGroup.objects.for_tenant(system.tenant)
        .usable()
        .filter(pk=wanted, information_system=system, account=place.account, region=place.region)
        .first()
    )
    if group is None:
        message = _("Server group not found in this information system, cloud account and region: %(id)s.")
        problems["server_group"] = [message % {"id": wanted}]
        return None
    return str(group.cloud_id)


def save_floating_ips(
    choices: NetworkChoices, tenant: Tenant, vms: Sequence[VirtualMachine]
) -> list[dict[str, Any]]:
    """Save the rows of the floating IPs to be taken, one for each VM; return the fields of each VM's command.

    Raises 409 `limit_reached`. Call it in the transaction that writes the VMs.
    """
    common: dict[str, Any] = {}
    if choices.networks is not None:
        common["networks"] = choices.networks
    if choices.security_group_ids:
        common["security_group_ids"] = choices.security_group_ids
    if choices.server_group_id is not None:
        common["server_group_id"] = choices.server_group_id
    if choices.external_network is None or choices.place is None:
        return [common for _vm in vms]
    require_floating_ip_limit(tenant, len(vms))
    rows = [build_floating_ip(tenant, choices.place, choices.external_network) for _vm in vms]
    FloatingIp.objects.bulk_create(rows)
    return [{**common, "floating_ip_id": str(row.pk)} for row in rows]
