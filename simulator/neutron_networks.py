"""Neutron: networks and subnets."""

from __future__ import annotations

import ipaddress

from .calls import Call
from .http_messages import HttpError, Response
from .neutron_lookup import find_resource, neutron_error
from .neutron_resources import build_network, build_subnet
from .ports import ensure_default_group
from .state import Region, Resource


def create_network(call: Call, requested: Resource) -> Resource:
    """Return a new network without subnets."""
    project_id = call.token.project_id or ""
    ensure_default_group(call.state, call.region, project_id)
    return build_network(call.state, project_id, requested)


def create_subnet(call: Call, requested: Resource) -> Resource:
    """Return a new subnet of a network."""
    network = find_resource(call, "networks", str(requested.get("network_id")))
    try:
        net = ipaddress.ip_network(str(requested.get("cidr")))
    except ValueError:
        message = f"Invalid input for cidr. Reason: '{requested.get('cidr')}'."
        raise neutron_error(400, "HTTPBadRequest", message) from None
    return build_subnet(call.state, call.token.project_id or "", network, net, requested)


def prepare_network_deletion(call: Call, network: Resource) -> None:
    """Delete a network's subnets with it. Raises `HttpError` 409 while ports are on it."""
    users = [port["id"] for port in call.region.ports.values() if port["network_id"] == network["id"]]
    if users:
        message = f"Unable to complete operation on network {network['id']}. There are one or more ports still in use on "
        message += f"the network, id for these ports is: {','.join(users)}."
        raise neutron_error(409, "NetworkInUse", message)
    for subnet_id in network["subnets"]:
        call.region.subnets.pop(subnet_id, None)


def prepare_subnet_deletion(call: Call, subnet: Resource) -> None:
    """Take a subnet from its network. Raises `HttpError` 409 while addresses of it are in use."""
    region = call.region
    if any(
        fixed["subnet_id"] == subnet["id"] for port in region.ports.values() for fixed in port["fixed_ips"]
    ):
        raise neutron_error(409, "SubnetInUse", f"Unable to complete operation on subnet {subnet['id']}: One or more ports have "
                      "an IP allocation from this subnet.")  # fmt: skip
    network = region.networks[subnet["network_id"]]
    network["subnets"] = [subnet_id for subnet_id in network["subnets"] if subnet_id != subnet["id"]]


def list_availabilities(call: Call) -> Response:
    """List the availability of all networks, for administrators; nobody else has any."""
    found = call.region.networks.values() if call.token.is_admin else ()
    return Response(
        200, {"network_ip_availabilities": [_describe_availability(call.region, n) for n in found]}
    )


def show_availability(call: Call, network_id: str) -> Response:
    """Show the number of a network's addresses and of the used ones, for administrators."""
    if not call.token.is_admin:
        raise build_missing_path_error()
    network = find_resource(call, "networks", network_id)
    return Response(200, {"network_ip_availability": _describe_availability(call.region, network)})


def build_missing_path_error() -> HttpError:
    """Return the 404 of what is not there at all, or not for this user."""
    return neutron_error(404, "HTTPNotFound", "The resource could not be found.")


def _describe_availability(region: Region, network: Resource) -> Resource:
    subnets = [
        _describe_subnet(region, region.subnets[one]) for one in network["subnets"] if one in region.subnets
    ]
    return {
        "network_id": network["id"], "network_name": network["name"], "tenant_id": network["project_id"],
        "project_id": network["project_id"], "subnet_ip_availability": subnets,
        "used_ips": sum(one["used_ips"] for one in subnets), "total_ips": sum(one["total_ips"] for one in subnets),
    }  # fmt: skip


def _describe_subnet(region: Region, subnet: Resource) -> Resource:
    pools = [
        (int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"])))
        for pool in subnet["allocation_pools"]
    ]
    return {
        "subnet_id": subnet["id"], "ip_version": subnet["ip_version"], "cidr": subnet["cidr"], "subnet_name": subnet["name"],
        "used_ips": len(region.used_addresses.get(subnet["id"], ())),
        "total_ips": sum(last - first + 1 for first, last in pools),
    }  # fmt: skip
