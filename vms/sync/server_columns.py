"""The one mapper from a server to VM columns, for the status sync, for adoption and for the commands."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from openstack_client import Server

from ..models import VM_STATUS_BY_SERVER_STATUS, VMStatus


@dataclass(frozen=True, slots=True)
class ServerColumns:
    """A server as the VM columns that follow it. `status` is None for a status word that we do not know."""

    status: VMStatus | None
    ip_address: str | None
    mac_address: str
    addresses: list[dict[str, Any]]
    fault: str
    # Nova is doing something to it now.
    moving: bool


def map_server_columns(server: Server) -> ServerColumns:
    """Map a server to VM columns. The first valid fixed address wins; floating ones are kept in `addresses` alone.

    An address that is not IPv4 or IPv6 is left out.
    """
    addresses = []
    ip_address, mac_address = None, ""
    for address in server.addresses:
        try:
            ipaddress.ip_address(address.ip)
        except ValueError:
            continue
        kind = address.kind or "fixed"
        addresses.append(
            {"network": address.network, "ip": address.ip, "mac": address.mac or "", "kind": kind}
        )
        if ip_address is None and kind == "fixed":
            ip_address, mac_address = address.ip, (address.mac or "")[:17]
    moving = server.task_state is not None or server.status in _MOVING
    fault = (server.fault or "")[:2000]
    return ServerColumns(
        VM_STATUS_BY_SERVER_STATUS.get(server.status), ip_address, mac_address, addresses, fault, moving
    )


# Statuses from which Nova goes on by itself. VERIFY_RESIZE is none: it waits for a person.
_MOVING = frozenset(
    {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "MIGRATING", "PASSWORD", "RESIZE", "REVERT_RESIZE"}
)
