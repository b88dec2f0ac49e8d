"""Neutron: ports."""

from __future__ import annotations

import ipaddress

from .calls import Call
from .neutron_lookup import find_resource, neutron_error
from .ports import (
    NoFreeAddressError,
    allocate_address,
    delete_port,
    mark_used,
    release_address,
)
from .state import Region, Resource
from .transitions import allocate_port, refresh_addresses, refresh_group_names


def build_port(call: Call, requested: Resource) -> Resource:
    """Create a port. Raises `HttpError` 400, 404, or 409 without a free address."""
    network = find_resource(call, "networks", str(requested.get("network_id")))
    groups = requested.get("security_groups")
    is_secured = bool(requested.get("port_security_enabled", network["port_security_enabled"]))
    _check_groups(call, groups, is_secured=is_secured)
    fixed = _build_fixed_ips(call, network, requested.get("fixed_ips"))
    try:
        port = allocate_port(
            call.state,
            call.region,
            network,
            call.token.project_id or "",
            device_id=str(requested.get("device_id") or ""),
            owner=str(requested.get("device_owner") or ""),
            groups=groups,
            fixed=fixed,
        )
    except NoFreeAddressError:
        raise _build_no_address_error(network) from None
    port.update(
        {name: requested[name] for name in ("name", "description", "admin_state_up") if name in requested}
    )
    if not is_secured:
        port.update({"port_security_enabled": False, "security_groups": []})
    return port


def prepare_port_update(call: Call, port: Resource, requested: Resource) -> None:
    """Check the new groups of a port, and give it its new addresses and port security. Raises `HttpError`."""
    groups = requested.get("security_groups")
    is_secured = bool(requested.get("port_security_enabled", port["port_security_enabled"]))
    has_groups = bool(port["security_groups"] if groups is None else groups)
    if has_groups and port["port_security_enabled"] and not is_secured:
        message = "Port has security group associated. Cannot disable port security or IP address until security group is removed."
        raise neutron_error(409, "PortSecurityPortHasSecurityGroup", message)
    _check_groups(call, groups, is_secured=is_secured)
    if "fixed_ips" in requested:
        network = call.region.networks[port["network_id"]]
        fixed = _build_fixed_ips(call, network, requested["fixed_ips"], own=port) or []
        for one in port["fixed_ips"]:
            if one not in fixed:
                release_address(call.region, one["subnet_id"], one["ip_address"])
        for one in fixed:
            mark_used(call.region, one)
        port["fixed_ips"] = fixed
    port["port_security_enabled"] = is_secured


def show_update_on_server(region: Region, port: Resource) -> None:
    """Show the groups of a changed port on its server."""
    server = region.servers.get(port["device_id"])
    if server is not None:
        refresh_group_names(region, server)


def check_port_deletion(port: Resource) -> None:
    """Raise `HttpError` 409 for a port of a router."""
    if port["device_owner"].startswith("network:router_"):
        message = f"Port {port['id']} cannot be deleted directly via the port API: has device owner {port['device_owner']}."
        raise neutron_error(409, "ServicePortInUse", message)


def remove_port(call: Call, port: Resource) -> None:
    """Delete a port. Its server loses the interface."""
    server = call.region.servers.get(port["device_id"])
    delete_port(call.region, port["id"], due=call.now + call.state.clock.action_seconds)
    if server is not None and port["id"] in server.port_ids:
        server.port_ids = [other for other in server.port_ids if other != port["id"]]
        refresh_addresses(call.region, server)


def _check_groups(call: Call, groups: list[str] | None, *, is_secured: bool) -> None:
    if groups and not is_secured:
        message = (
            "Port security must be enabled and port must have an IP address in order to use security groups."
        )
        raise neutron_error(400, "PortSecurityAndIPRequiredForSecurityGroups", message)
    for group_id in groups or ():
        find_resource(call, "security-groups", group_id)


def _build_fixed_ips(
    call: Call, network: Resource, requested: object, own: Resource | None = None
) -> list[Resource] | None:
    """Return the requested addresses of a port; None when the cloud is to choose."""
    if not isinstance(requested, list) or not requested:
        return [] if requested == [] else None
    return [_build_fixed_ip(call, network, one, own) for one in requested]


def _build_fixed_ip(call: Call, network: Resource, requested: Resource, own: Resource | None) -> Resource:
    region, address = call.region, requested.get("ip_address")
    subnets = [region.subnets[one] for one in network["subnets"] if one in region.subnets]
    if requested.get("subnet_id"):
        subnet = find_resource(call, "subnets", str(requested["subnet_id"]))
        if subnet not in subnets:
            message = f"Invalid input for operation: Failed to create port on network {network['id']}, because fixed_ips "
            message += f"included invalid subnet {subnet['id']}."
            raise neutron_error(400, "InvalidInput", message)
        if address is not None and not _is_usable(subnet, address):
            message = f"IP address {address} is not a valid IP for the specified subnet."
            raise neutron_error(400, "InvalidIpForSubnet", message)
    elif address is None:
        message = "Invalid input for operation: IP allocation requires subnet_id or ip_address."
        raise neutron_error(400, "InvalidInput", message)
    else:
        found = next((one for one in subnets if _is_usable(one, address)), None)
        if found is None:
            message = (
                f"IP address {address} is not a valid IP for any of the subnets on the specified network."
            )
            raise neutron_error(400, "InvalidIpForNetwork", message)
        subnet = found
    if address is None:
        try:
            return {"subnet_id": subnet["id"], "ip_address": allocate_address(region, subnet)}
        except NoFreeAddressError:
            raise _build_no_address_error(network) from None
    fixed = {"subnet_id": subnet["id"], "ip_address": str(ipaddress.ip_address(address))}
    if any(fixed in port["fixed_ips"] for port in region.ports.values() if port is not own):
        message = f"IP address {address} already allocated in subnet {subnet['id']}"
        raise neutron_error(409, "IpAddressAlreadyAllocated", message)
    return fixed


def _is_usable(subnet: Resource, address: str) -> bool:
    """Return whether a port may have the address: one of the range, but neither its first nor its broadcast address."""
    net, found = ipaddress.ip_network(subnet["cidr"]), ipaddress.ip_address(address)
    if found not in net or found == net.network_address:
        return False
    return net.version == 6 or found != net.broadcast_address


def _build_no_address_error(network: Resource) -> Exception:
    message = f"No more IP addresses available on network {network['id']}."
    return neutron_error(409, "IpAddressGenerationFailure", message)
