"""The fields of the form for a new VM about its networks: further ones, security groups, server group and floating IP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from cloudaccounts.placements import Placement
from networks.models import SecurityGroup, ServerGroup
from networks.services import list_external_networks

from .form_choices import Choices

# The fields with their initial values. Lists are kept as texts, separated by commas.
NETWORK_VALUES = {
    "fixed_ip": "",
    "more_networks": "",
    "security_groups": "",
    "server_group": "",
    "floating_network": "",
}
LISTS = ("more_networks", "security_groups")


def read_lists(sent: Any) -> dict[str, str]:
    """Return the fields that may be sent several times, or as one text in a link."""
    get = getattr(sent, "getlist", None)
    if get is None:
        return {}
    return {name: ",".join(text for text in get(name)[:20] if "\x00" not in text) for name in LISTS}


def _split(entered: Mapping[str, str], name: str) -> list[str]:
    return [text for text in entered.get(name, "").split(",") if text]


def add_network_params(data: dict[str, Any], entered: Mapping[str, str]) -> None:
    """Add the parameters of the API. Further networks, or an address of choice, make `network` a list."""
    more, address = _split(entered, "more_networks"), entered.get("fixed_ip", "").strip()
    first = data.get("network", "")
    more = [network for network in more if network != first]
    if first and (more or address):
        del data["network"]
        networks: list[dict[str, str]] = [{"network": first}, *({"network": one} for one in more)]
        if address:
            networks[0]["fixed_ip"] = address
        data["networks"] = networks
    if groups := _split(entered, "security_groups"):
        data["security_groups"] = groups
    for name in ("server_group", "floating_network"):
        if value := entered.get(name, "").strip():
            data[name] = value


def find_network_errors(entered: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the errors of the form's own fields: what is beside the first network needs that to be selected."""
    is_more = entered.get("fixed_ip", "").strip() or _split(entered, "more_networks")
    if is_more and not entered.get("network", "").strip():
        return {"network": [_("Select the first network, too.")]}
    return {}


def build_network_choices(choices: Choices, entered: Mapping[str, str]) -> dict[str, Any]:
    """Return what the tenant may choose in the account and region of the form: four queries."""
    account = next((one for one in choices.accounts if one.pk == choices.account), None)
    if account is None or not choices.region:
        return {"has_reach": False}
    tenant, place = choices.system.tenant, Placement(account, choices.region)
    here = {"account": account, "region": choices.region}
    chosen = set(_split(entered, "security_groups"))
    more = set(_split(entered, "more_networks"))
    groups = SecurityGroup.objects.for_tenant(tenant).usable().filter(**here).order_by("name")
    server_groups = ServerGroup.objects.usable().filter(information_system=choices.system, **here)
    return {
        "has_reach": True,
        "security_groups": [
            (str(pk), name, str(pk) in chosen) for pk, name in groups.values_list("pk", "name")
        ],
        "server_groups": list(server_groups.order_by("name")),
        "external_networks": list_external_networks(tenant, place),
        "more_networks": [
            (network.cloud_id, network.name, network.cloud_id in more)
            for network in choices.networks
            if network.cloud_id != entered.get("network")
        ]
        if len(choices.networks) > 1
        else [],
    }
