"""Nova: passwords and locks of servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .calls import Call
from .http_messages import Response, bad_request, conflict, service_error
from .nova_history import record_action
from .nova_lookup import find_server
from .server import SimulatedServer

_LOCK_REASON_SINCE = (2, 73)
_REFUSALS = {
    "not_enabled": (409, "Guest agent is not enabled for the instance"),
    "failed": (409, "Failed to set admin password on {} because error setting admin password"),
    "unsupported": (501, "Unable to set password on instance"),
}
PASSWORD_FAULTS = tuple(_REFUSALS)


def change_password(call: Call, server: SimulatedServer, argument: Any) -> Response:
    """Set the administrator's password inside the server, unless `password_fault` of the state forbids it."""
    password = argument.get("adminPass") if isinstance(argument, dict) else None
    if not isinstance(password, str):
        raise bad_request(f"Invalid input for field/attribute adminPass. Value: {password}.")
    if server.locked and not call.token.is_admin:
        # Nova has other words here than for the other actions.
        raise conflict(f"Instance {server.id} is in an invalid state for 'changePassword'")
    if server.vm_state != "active" or server.task_state is not None:
        state = (
            f"vm_state {server.vm_state}"
            if server.vm_state != "active"
            else f"task_state {server.task_state}"
        )
        raise conflict(f"Cannot 'changePassword' instance {server.id} while it is in {state}")
    record_action(call, server, "changePassword")
    _mark_changed(call, server)
    if call.state.password_fault:
        server.actions[0]["message"] = "Error"
        status, message = _REFUSALS[call.state.password_fault]
        kind = "notImplemented" if status == 501 else "conflictingRequest"
        raise service_error(status, kind, message.format(server.id))
    server.admin_password = password
    return Response(202)


def lock(call: Call, server: SimulatedServer, argument: Any) -> Response:
    """Lock a server for its owner or for an administrator. An owner's second lock changes nothing."""
    reason = argument.get("locked_reason") if isinstance(argument, dict) else None
    if reason is not None and call.microversion < _LOCK_REASON_SINCE:
        raise bad_request(f"Invalid input for field/attribute lock. Value: {argument}.")
    is_owner = call.token.project_id == server.project_id
    if not (server.locked and is_owner):
        record_action(call, server, "lock")
        server.locked, server.locked_by = True, "owner" if is_owner else "admin"
        server.locked_reason = reason or server.locked_reason
        _mark_changed(call, server)
    return Response(202)


def unlock(call: Call, server: SimulatedServer, argument: Any) -> Response:
    """Unlock a server. Only administrators remove an administrator's lock."""
    is_owner = call.token.project_id == server.project_id
    if server.locked_by not in (None, "owner" if is_owner else "admin"):
        call.require_admin("os_compute_api:os-lock-server:unlock:unlock_override")
    record_action(call, server, "unlock")
    server.locked, server.locked_by, server.locked_reason = False, None, None
    _mark_changed(call, server)
    return Response(202)


def show_password(call: Call, server_id: str) -> Response:
    """Show the password that the server has reported, encrypted; "" for none."""
    return Response(200, {"password": find_server(call, server_id).encrypted_password})


def clear_password(call: Call, server_id: str) -> Response:
    """Delete the reported password."""
    find_server(call, server_id).encrypted_password = ""
    call.state.dirty = True
    return Response(204)


def _mark_changed(call: Call, server: SimulatedServer) -> None:
    server.updated, server.text = call.now, None
    call.state.dirty = True


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/os-server-password", show_password),
    ("DELETE", "/servers/<server_id>/os-server-password", clear_password),
]
