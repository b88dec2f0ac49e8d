"""Neutron: networks and subnets."""

from __future__ import annotations

import ipaddress

from .calls import Call
from .neutron_lookup import find_resource, neutron_error
from .neutron_resources import build_network, build_subnet
from .ports import ensure_default_group
from .state import Resource


def create_network(call: Call, requested: Resource) -> Resource:
    """Return a new network without subnets."""
    project_id = call.token.project_id or ""
    ensure_default_group(call.state, call.region, project_id)
    return build_network(call.state, project_id, requested)


def create_subnet(call: Call, requested: Resource) -> Resource:
    """Return a new subnet of a network."""
    network = find_resource(call, "networks", str(requested.get("network_id")))
    cidr = requested.get("cidr")
    if cidr is None:
        message = "Bad subnets request: a subnetpool must be specified in the absence of a cidr."
        raise neutron_error(400, "BadRequest", message)
    try:
        net = ipaddress.ip_network(str(cidr), strict=False)
    except ValueError:
        message = f"Invalid input for operation: {cidr} is not in a CIDR format."
        raise neutron_error(400, "InvalidInput", message) from None
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
