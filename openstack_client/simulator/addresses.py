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
            number = int(ipaddress.ip_address(fixed["ip_address"]))
            region.used_addresses.setdefault(fixed["subnet_id"], set()).add(number)


def take_address(region: Region, subnet: Thing) -> str:
    """The next free address of a subnet's first pool. Raises `NoAddressLeft`."""
    pool = subnet["allocation_pools"][0]
    first, last = int(ipaddress.ip_address(pool["start"])), int(ipaddress.ip_address(pool["end"]))
    used = region.used_addresses.setdefault(subnet["id"], set())
    if len(used) > last - first:
        raise NoAddressLeft
    number = region.next_address.get(subnet["id"], first)
    while number in used or number > last:
        number = first if number > last else number + 1
    used.add(number)
    region.next_address[subnet["id"]] = number + 1
    return str(ipaddress.ip_address(number))


def new_port(
    state: State, region: Region, network: Thing, project_id: str, *, device_id: str = "", owner: str = ""
) -> Thing:
    """A port with a MAC and, when the network has a subnet, an address."""
    subnet = region.subnets.get(network["subnets"][0]) if network["subnets"] else None
    fixed = [{"subnet_id": subnet["id"], "ip_address": take_address(region, subnet)}] if subnet else []
    number = state.random.getrandbits(24)
    port_id = state.new_id()
    stamp = zulu(state.clock.now())
    port: dict[str, Any] = {
        "id": port_id, "name": "", "network_id": network["id"], "tenant_id": project_id, "project_id": project_id,
        "mac_address": f"fa:16:3e:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        "admin_state_up": True, "status": "ACTIVE" if device_id else "DOWN", "device_id": device_id,
        "device_owner": owner, "fixed_ips": fixed, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "security_groups": [], "description": "", "binding:vnic_type": "normal", "port_security_enabled": True,
        "tags": [], "created_at": stamp, "updated_at": stamp, "revision_number": 1,
    }  # fmt: skip
    region.ports[port_id] = port
    return port


def remove_port(region: Region, port_id: str) -> None:
    """Remove a port; its addresses are free again."""
    port = region.ports.pop(port_id, None)
    for fixed in port["fixed_ips"] if port else ():
        number = int(ipaddress.ip_address(fixed["ip_address"]))
        region.used_addresses.get(fixed["subnet_id"], set()).discard(number)


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
