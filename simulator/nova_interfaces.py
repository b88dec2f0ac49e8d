"""Nova: ports of servers, and the security groups that a new server names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, not_found, unwrap
from .nova_history import record_action
from .nova_lookup import check_lock, find_server
from .ports import bind_port, ensure_default_group
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server, refresh_addresses, schedule_port_detachment

_STATES = {"active", "paused", "stopped"}


def list_interfaces(call: Call, server_id: str) -> Response:
    """List a server's ports."""
    server = find_server(call, server_id)
    ports = [call.region.ports[port_id] for port_id in server.port_ids if port_id in call.region.ports]
    return Response(200, {"interfaceAttachments": [_serialize_interface(call, port) for port in ports]})


def _serialize_interface(call: Call, port: Resource) -> Resource:
    shown = {
        "net_id": port["network_id"], "port_id": port["id"], "mac_addr": port["mac_address"],
        "port_state": port["status"], "fixed_ips": port["fixed_ips"],
    }  # fmt: skip
    return {**shown, "tag": None} if call.microversion >= (2, 70) else shown


def attach_interface(call: Call, server_id: str) -> Response:
    """Attach an existing port, and answer once it is attached. A network in its place is not simulated."""
    call.action, call.object_id = "attach_interface", server_id
    server = find_server(call, server_id)
    requested = unwrap(call.request.json(), "interfaceAttachment")
    check_lock(call, server)
    _check_state(server, "attach_interface")
    record_action(call, server, "attach_interface")
    port = _take_port(call, server, str(requested.get("port_id")))
    server.port_ids.append(port["id"])
    refresh_addresses(call.region, server)
    _mark_changed(call, server)
    call.record_accepted("attach_interface", server_id)
    return Response(200, {"interfaceAttachment": _serialize_interface(call, port)})


def _take_port(call: Call, server: SimulatedServer, port_id: str) -> Resource:
    port = find_port(call, port_id)
    if port is None:
        raise not_found(f"Port id {port_id} could not be found.")
    if port["device_id"]:
        raise conflict(f"Port {port_id} is still in use.")
    bind_port(port, server)
    return port


def detach_interface(call: Call, server_id: str, port_id: str) -> Response:
    """Start the detachment of a port. One that the server does not have is accepted, too."""
    call.action, call.object_id = "detach_interface", server_id
    server = find_server(call, server_id)
    check_lock(call, server)
    _check_state(server, "detach_interface")
    record_action(call, server, "detach_interface")
    if port_id in server.port_ids:
        schedule_port_detachment(server, port_id, call.now + call.state.clock.action_seconds)
        advance_server(call.state, call.region, server, call.now)
    else:
        server.actions[0]["message"] = "Error"
    _mark_changed(call, server)
    call.record_accepted("detach_interface", server_id)
    return Response(202)


def _check_state(server: SimulatedServer, action: str) -> None:
    if server.vm_state not in _STATES:
        raise conflict(f"Cannot '{action}' instance {server.id} while it is in vm_state {server.vm_state}")
    if server.task_state is not None:
        raise conflict(
            f"Cannot '{action}' instance {server.id} while it is in task_state {server.task_state}"
        )


def find_port(call: Call, port_id: str) -> Resource | None:
    """Return a port that the caller may use, or None."""
    port = call.region.ports.get(port_id)
    if port is None or not (call.token.is_admin or port["project_id"] == call.token.project_id):
        return None
    return port


def find_address_user(call: Call, network: Resource, address: str) -> str | None:
    """Return the id of what uses an address of a network ("" for an unused port), or None for a free address."""
    for port in call.region.ports.values():
        if port["network_id"] == network["id"] and any(
            fixed["ip_address"] == address for fixed in port["fixed_ips"]
        ):
            return str(port["device_id"])
    return None


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
    # Not `updated`: Nova's listing with changes-since shows neither attachment nor detachment.
    server.text = None
    call.state.dirty = True


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/os-interface", list_interfaces),
    ("POST", "/servers/<server_id>/os-interface", attach_interface),
    ("DELETE", "/servers/<server_id>/os-interface/<port_id>", detach_interface),
]
