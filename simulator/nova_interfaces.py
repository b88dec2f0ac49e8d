"""Nova: ports of servers, and the security groups that a new server names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, not_found, unwrap
from .nova_lookup import find_server
from .ports import NoFreeAddressError, ensure_default_group, release_server_port
from .server import SimulatedServer
from .state import Resource
from .transitions import allocate_port, refresh_addresses


def list_interfaces(call: Call, server_id: str) -> Response:
    """List a server's ports."""
    server = find_server(call, server_id)
    ports = [call.region.ports[port_id] for port_id in server.port_ids if port_id in call.region.ports]
    return Response(200, {"interfaceAttachments": [_serialize_interface(port) for port in ports]})


def _serialize_interface(port: Resource) -> Resource:
    return {
        "net_id": port["network_id"], "port_id": port["id"], "mac_addr": port["mac_address"],
        "port_state": port["status"], "fixed_ips": port["fixed_ips"],
    }  # fmt: skip


def attach_interface(call: Call, server_id: str) -> Response:
    """Attach a new port to a server."""
    server = find_server(call, server_id)
    network = call.region.networks.get(str(unwrap(call.request.json(), "interfaceAttachment").get("net_id")))
    if network is None:
        raise bad_request("Network could not be found.")
    try:
        port = allocate_port(
            call.state, call.region, network, server.project_id, device_id=server.id, owner="compute:nova"
        )
    except NoFreeAddressError:
        raise bad_request(f"No fixed IP addresses available for network: {network['id']}") from None
    server.port_ids.append(port["id"])
    refresh_addresses(call.region, server)
    _mark_changed(call, server)
    return Response(200, {"interfaceAttachment": _serialize_interface(port)})


def detach_interface(call: Call, server_id: str, port_id: str) -> Response:
    """Detach a port from a server and delete it."""
    server = find_server(call, server_id)
    if port_id not in server.port_ids:
        raise not_found(f"Port id {port_id} could not be found.")
    server.port_ids.remove(port_id)
    release_server_port(call.region, port_id)
    refresh_addresses(call.region, server)
    _mark_changed(call, server)
    return Response(202)


def select_security_groups(call: Call, requested: Any) -> list[Resource]:
    """Return the project's security groups that a new server names, by name or id. Raises `HttpError` 400 or 409."""
    if requested:
        ensure_default_group(call.state, call.region, call.token.project_id or "")
    found = []
    for reference in requested or ():
        given = reference.get("name") if isinstance(reference, dict) else None
        groups = call.region.security_groups.values()
        mine = [
            g for g in groups if g["project_id"] == call.token.project_id and given in (g["name"], g["id"])
        ]
        if not mine:
            raise bad_request(f"Unable to find security_group with name or id '{given}'")
        if len(mine) > 1:
            raise conflict(
                f"Multiple security groups found matching '{given}'. Use an ID to be more specific."
            )
        found += mine
    return found


def _mark_changed(call: Call, server: SimulatedServer) -> None:
    server.text = None
    server.updated = call.now
    call.state.dirty = True


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/os-interface", list_interfaces),
    ("POST", "/servers/<server_id>/os-interface", attach_interface),
    ("DELETE", "/servers/<server_id>/os-interface/<port_id>", detach_interface),
]
