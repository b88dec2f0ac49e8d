"""Read fixed addresses of requests, and check them against what the last sync has seen of a network: its ranges, gateways and ports."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from cloudaccounts.models import CloudResource, CloudResourceQuerySet


def read_fixed_address(network: CloudResource, text: str, errors: list[str | Promise]) -> str:
    """Return the address of a port of a network in its normal form: "2001:DB8:0::5" is "2001:db8::5".

    Add the error to `errors` when no port of the network can have it. Nova accepts an address outside the subnets, and the
    server ends in error; so this is checked before. Ports of other projects are not known here: for them the cloud refuses.
    """
    try:
        wanted = ip_address(text)
    except ValueError:
        errors.append(_("'%(address)s' is no IP address.") % {"address": text})
        return text
    if isinstance(wanted, IPv6Address) and wanted.scope_id is not None:
        message = _("'%(address)s' has the zone '%(zone)s'. Enter the address without a zone.")
        errors.append(message % {"address": text, "zone": wanted.scope_id})
    elif wrong := _explain_unusable(network, wanted):
        errors.append(wrong)
    return str(wanted)


def _explain_unusable(network: CloudResource, wanted: IPv4Address | IPv6Address) -> str | Promise | None:
    """Return why a port of a network cannot have an address; None when nothing is known against it."""
    if wanted.is_multicast or wanted.is_unspecified or wanted.is_loopback or wanted.is_link_local:
        return _("'%(address)s' is not an address that a VM can have.") % {"address": wanted}
    subnets = list(_list_of_network("subnet", network))
    ranges = [str(subnet.attributes.get("cidr") or "") for subnet in subnets]
    ranges = [text for text in ranges or network.attributes.get("cidrs") or [] if text]
    found = [ip_network(text, strict=False) for text in ranges]
    inside = [one for one in found if wanted in one]
    if not inside:
        message = _("The address %(address)s is outside the subnets of network '%(network)s': %(ranges)s.")
        values = {"address": wanted, "network": network.name, "ranges": ", ".join(ranges) or "-"}
        return message % values
    if any(
        one.version == 4 and one.prefixlen < 31 and wanted in (one.network_address, one.broadcast_address)
        for one in inside
    ):
        message = _("%(address)s is the first or last address of its subnet, which no VM can have.")
        return message % {"address": wanted}
    if str(wanted) in {str(subnet.attributes.get("gateway_ip") or "") for subnet in subnets}:
        return _("%(address)s is the address of the subnet's gateway.") % {"address": wanted}
    taken = _list_of_network("port", network).filter(attributes__fixed_ips__contains=[str(wanted)])
    if taken.exists():
        message = _("The address %(address)s is already in use on network '%(network)s'. Choose another one.")
        return message % {"address": wanted, "network": network.name}
    return None


def _list_of_network(type_code: str, network: CloudResource) -> CloudResourceQuerySet:
    """Return the present resources of a type that belong to a network."""
    found: CloudResourceQuerySet = CloudResource.objects.present().filter(
        type=type_code,
        account=network.account_id,
        region=network.region,
        links__target_type="network",
        links__target_cloud_id=network.cloud_id,
    )
    return found
