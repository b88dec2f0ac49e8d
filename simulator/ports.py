"""Ports with their MAC and IP addresses, and the addresses in use."""

from __future__ import annotations

import ipaddress
from typing import Any

from .clock import format_zulu
from .neutron_resources import build_default_group
from .server import SimulatedServer
from .state import Region, Resource, State


class NoFreeAddressError(Exception):
    """The subnet has no free address."""


def index_used_addresses(region: Region) -> None:
    """Compute from the ports and floating IPs which addresses are in use."""
    region.used_addresses = {subnet_id: set() for subnet_id in region.subnets}
    region.next_address = {}
    for port in region.ports.values():
        for fixed in port["fixed_ips"]:
            mark_used(region, fixed)
    for floating in region.floatingips.values():
        for subnet_id in region.networks.get(floating["floating_network_id"], {}).get("subnets", ()):
            mark_used(region, {"subnet_id": subnet_id, "ip_address": floating["floating_ip_address"]})


def mark_used(region: Region, fixed: Resource) -> None:
    """Mark an address as used if it is in the allocation pool, unlike a gateway's."""
    subnet = region.subnets.get(fixed["subnet_id"])
    if subnet is not None:
        first, last = _get_pool(subnet)
        number = int(ipaddress.ip_address(fixed["ip_address"]))
        if first <= number <= last:
            region.used_addresses.setdefault(subnet["id"], set()).add(number)


def _get_pool(subnet: Resource) -> tuple[int, int]:
    pool = subnet["allocation_pools"][0]
    return int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))


def release_address(region: Region, subnet_id: str, address: str) -> None:
    """Release an address."""
    region.used_addresses.get(subnet_id, set()).discard(int(ipaddress.ip_address(address)))


def allocate_address(region: Region, subnet: Resource) -> str:
    """Return the next free address of the subnet's first pool. Raises `NoFreeAddressError`."""
    first, last = _get_pool(subnet)
    used = region.used_addresses.setdefault(subnet["id"], set())
    if len(used) > last - first:
        raise NoFreeAddressError
    number = region.next_address.get(subnet["id"], first)
    while number in used or number > last:
        number = first if number > last else number + 1
    used.add(number)
    region.next_address[subnet["id"]] = number + 1
    return str(ipaddress.ip_address(number))


def allocate_fixed_ips(region: Region, network: Resource) -> list[Resource]:
    """Return one free address of each IP version that a network has, [] without subnets. Raises `NoFreeAddressError`."""
    subnets = [region.subnets[subnet_id] for subnet_id in network["subnets"] if subnet_id in region.subnets]
    return [
        _allocate_from_any(region, [one for one in subnets if one["ip_version"] == version])
        for version in sorted({subnet["ip_version"] for subnet in subnets})
    ]


def _allocate_from_any(region: Region, subnets: list[Resource]) -> Resource:
    for subnet in subnets:
        try:
            return {"subnet_id": subnet["id"], "ip_address": allocate_address(region, subnet)}
        except NoFreeAddressError:
            continue
    raise NoFreeAddressError


def ensure_default_group(state: State, region: Region, project_id: str) -> str:
    """Return the id of the project's security group "default", which Neutron makes when it is first needed."""
    found = region.default_groups.get(project_id)
    if found is None or found not in region.security_groups:
        groups = region.security_groups.values()
        found = next(
            (g["id"] for g in groups if g["project_id"] == project_id and g["name"] == "default"), None
        )
    if found is None:
        group = build_default_group(state, region, project_id)
        found = str(group["id"])
        region.security_groups[found] = group
        state.dirty = True
    region.default_groups[project_id] = found
    return found


def bind_port(port: Resource, server: SimulatedServer) -> None:
    """Give an existing port to a server. It was not made by Nova, so it outlives the server."""
    port.update(
        {"device_id": server.id, "device_owner": f"compute:{server.zone}", "status": "ACTIVE", "_kept": True}
    )
    port["revision_number"] += 1


def release_server_port(region: Region, port_id: str) -> None:
    """Take a port from its server: delete one that Nova has made, and leave any other unused."""
    port = region.ports.get(port_id)
    if port is None:
        return
    if port.pop("_kept", False):
        port.update({"device_id": "", "device_owner": "", "status": "DOWN"})
        port["revision_number"] += 1
    else:
        delete_port(region, port_id)


def create_port(
    state: State,
    region: Region,
    network: Resource,
    project_id: str,
    *,
    device_id: str = "",
    owner: str = "",
    groups: list[str] | None = None,
    fixed: list[Resource] | None = None,
) -> Resource:
    """Create a port with a MAC and an address of each IP version that the network has. Raises `NoFreeAddressError`.

    By default the port is in its project's default security group. Ports of the network itself, and ports without port
    security, are in none.
    """
    if fixed is None:
        fixed = allocate_fixed_ips(region, network)
    else:
        for address in fixed:
            mark_used(region, address)
    is_secured = network.get("port_security_enabled", True) and not owner.startswith("network:")
    if groups is None:
        groups = [ensure_default_group(state, region, project_id)] if is_secured else []
    number = state.random.getrandbits(24)
    port_id = state.new_id()
    stamp = format_zulu(state.clock.now())
    port: dict[str, Any] = {
        "id": port_id, "name": "", "network_id": network["id"], "tenant_id": project_id, "project_id": project_id,
        "mac_address": f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        "admin_state_up": True, "status": "ACTIVE" if device_id else "DOWN", "device_id": device_id,
        "device_owner": owner, "fixed_ips": fixed, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "security_groups": groups, "description": "", "binding:vnic_type": "normal",
        "port_security_enabled": network.get("port_security_enabled", True),
        "tags": [], "created_at": stamp, "updated_at": stamp, "revision_number": 1,
    }  # fmt: skip
    region.ports[port_id] = port
    return port


def find_subnet(region: Region, network: Resource, address: str) -> str | None:
    """Return the id of the network's subnet that has the address, or None."""
    found = ipaddress.ip_address(address)
    for subnet_id in network["subnets"]:
        subnet = region.subnets.get(subnet_id)
        if subnet is not None and found in ipaddress.ip_network(subnet["cidr"]):
            return str(subnet_id)
    return None


def delete_port(region: Region, port_id: str, *, due: float = 0.0) -> None:
    """Delete a port, release its addresses, and disassociate its floating IPs, which are shown as DOWN at the time `due`."""
    port = region.ports.pop(port_id, None)
    for fixed in port["fixed_ips"] if port else ():
        release_address(region, fixed["subnet_id"], fixed["ip_address"])
    for floating in region.floatingips.values():
        if floating["port_id"] == port_id:
            disassociate(floating, due)


def disassociate(floating: Resource, due: float = 0.0) -> None:
    """Take a floating IP from its port. Its agent reports the status DOWN at the time `due`."""
    floating.update({"port_id": None, "fixed_ip_address": None, "router_id": None, "port_details": None})
    floating["_plan"] = [due, "DOWN"]
    floating["revision_number"] += 1


def advance_floating_ips(region: Region, now: float) -> None:
    """Apply the due statuses of floating IPs."""
    for floating in region.floatingips.values():
        plan = floating.get("_plan")
        if plan and plan[0] <= now:
            del floating["_plan"]
            if floating["status"] != plan[1]:
                floating["status"] = plan[1]
                floating["revision_number"] += 1


def format_addresses(port: Resource) -> list[Resource]:
    """Return a port's addresses as Nova shows them with a server."""
    return [
        {
            "version": 6 if ":" in fixed["ip_address"] else 4,
            "addr": fixed["ip_address"],
            "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
        }
        for fixed in port["fixed_ips"]
    ]
