"""Map servers to VM columns, for the status sync, the adoption of servers, and the commands."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from openstack_client import Server

from ..models import VM_STATUS_BY_SERVER_STATUS, VMStatus


@dataclass(frozen=True, slots=True)
class ServerColumns:
    """The VM columns that follow a server. `status` is None for an unknown status."""

    status: VMStatus | None
    ip_address: str | None
    mac_address: str
    addresses: list[dict[str, Any]]
    fault: str
    # Nova is changing the server.
    moving: bool
    # Its compute host; "" when the account may not see it.
    host: str = ""


def map_server_columns(server: Server) -> ServerColumns:
    """Map a server to VM columns. `ip_address` is the first valid fixed one; floating ones are kept in `addresses` alone.

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
    moving = server.task_state is not None or server.status in _TRANSITIONAL_STATUSES
    fault = (server.fault or "")[:2000]
    return ServerColumns(
        VM_STATUS_BY_SERVER_STATUS.get(server.status),
        ip_address,
        mac_address,
        addresses,
        fault,
        moving,
        (server.host or "")[:255],
    )


# Statuses that Nova leaves by itself. VERIFY_RESIZE is not one of them: it waits for a person.
_TRANSITIONAL_STATUSES = frozenset(
    {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "MIGRATING", "PASSWORD", "RESIZE", "REVERT_RESIZE"}
)
