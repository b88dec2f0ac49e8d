"""Addresses and MACs, and the ports that carry them."""

from __future__ import annotations

import ipaddress
from typing import Any

from .clock import zulu
from .state import Region, State, Thing


class NoAddressLeft(Exception):
    """The subnet is full."""


def remember_addresses(region: Region) -> None:
    """Work out from the ports which addresses are in use."""
    region.used_addresses = {subnet_id: set() for subnet_id in region.subnets}
    region.next_address = {}
    for port in region.ports.values():
        for fixed in port["fixed_ips"]:
            _use_address(region, fixed)
    for floating in region.floatingips.values():
        for subnet_id in region.networks.get(floating["floating_network_id"], {}).get("subnets", ()):
            _use_address(region, {"subnet_id": subnet_id, "ip_address": floating["floating_ip_address"]})


def _use_address(region: Region, fixed: Thing) -> None:
    """Note that it is in use, if it is one that could be given out: gateways' are not."""
    subnet = region.subnets.get(fixed["subnet_id"])
    if subnet is not None:
        first, last = _pool(subnet)
        number = int(ipaddress.ip_address(fixed["ip_address"]))
        if first <= number <= last:
            region.used_addresses.setdefault(subnet["id"], set()).add(number)


def _pool(subnet: Thing) -> tuple[int, int]:
    pool = subnet["allocation_pools"][0]
    return int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))


def free_address(region: Region, subnet_id: str, address: str) -> None:
    """Give an address back."""
    region.used_addresses.get(subnet_id, set()).discard(int(ipaddress.ip_address(address)))


def take_address(region: Region, subnet: Thing) -> str:
    """The next free address of a subnet's first pool. Raises `NoAddressLeft`."""
    first, last = _pool(subnet)
    used = region.used_addresses.setdefault(subnet["id"], set())
    if len(used) > last - first:
        raise NoAddressLeft
    number = region.next_address.get(subnet["id"], first)
    while number in used or number > last:
        number = first if number > last else number + 1
    used.add(number)
    region.next_address[subnet["id"]] = number + 1
    return str(ipaddress.ip_address(number))


def default_group(region: Region, project_id: str) -> str | None:
    """The id of a project's security group "default"."""
    found = region.default_groups.get(project_id)
    if found is None or found not in region.security_groups:
        groups = region.security_groups.values()
        mine = [g["id"] for g in groups if g["project_id"] == project_id and g["name"] == "default"]
        found = region.default_groups[project_id] = mine[0] if mine else ""
    return found or None


def new_port(
    state: State,
    region: Region,
    network: Thing,
    project_id: str,
    *,
    device_id: str = "",
    owner: str = "",
    groups: list[str] | None = None,
    fixed: list[Thing] | None = None,
) -> Thing:
    """A port with a MAC and, when the network has a subnet, an address. Raises `NoAddressLeft`.

    Unless told otherwise it is in its project's default security group; the network's own ports are in none.
    """
    if fixed is None:
        subnet = region.subnets.get(network["subnets"][0]) if network["subnets"] else None
        fixed = [{"subnet_id": subnet["id"], "ip_address": take_address(region, subnet)}] if subnet else []
    else:
        for one in fixed:
            _use_address(region, one)
    if groups is None:
        default = None if owner.startswith("network:") else default_group(region, project_id)
        groups = [default] if default else []
    number = state.random.getrandbits(24)
    port_id = state.new_id()
    stamp = zulu(state.clock.now())
    port: dict[str, Any] = {
        "id": port_id, "name": "", "network_id": network["id"], "tenant_id": project_id, "project_id": project_id,
        "mac_address": f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        "admin_state_up": True, "status": "ACTIVE" if device_id else "DOWN", "device_id": device_id,
        "device_owner": owner, "fixed_ips": fixed, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "security_groups": groups, "description": "", "binding:vnic_type": "normal", "port_security_enabled": True,
        "tags": [], "created_at": stamp, "updated_at": stamp, "revision_number": 1,
    }  # fmt: skip
    region.ports[port_id] = port
    return port


def remove_port(region: Region, port_id: str) -> None:
    """Remove a port. Its addresses are free again, and floating IPs on it lead nowhere."""
    port = region.ports.pop(port_id, None)
    for fixed in port["fixed_ips"] if port else ():
        free_address(region, fixed["subnet_id"], fixed["ip_address"])
    for floating in region.floatingips.values():
        if floating["port_id"] == port_id:
            loose = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
            floating.update({**loose, "port_details": None})


def address_entry(port: Thing) -> list[Thing]:
    """A port's addresses as Nova shows them with a server."""
    return [
        {
            "version": 6 if ":" in fixed["ip_address"] else 4,
            "addr": fixed["ip_address"],
            "OS-EXT-IPS:type": "fixed",
            "OS-EXT-IPS-MAC:mac_addr": port["mac_address"],
        }
        for fixed in port["fixed_ips"]
    ]
