"""Nova: the action history of servers (os-instance-actions), which outlives the server."""

from __future__ import annotations

from collections.abc import Callable

from .calls import Call
from .clock import format_naive
from .http_messages import Response, not_found
from .server import SimulatedServer
from .state import Resource
from .transitions import advance_server


def record_action(call: Call, server: SimulatedServer, action: str) -> None:
    """Add the action to the server's history."""
    server.actions.insert(
        0,
        {
            "action": action,
            "instance_uuid": server.id,
            "request_id": call.request_id,
            "user_id": call.token.user_id,
            "project_id": call.token.project_id,
            "start_time": format_naive(call.now),
            "message": None,
            "updated_at": format_naive(call.now),
        },
    )


def list_actions(call: Call, server_id: str) -> Response:
    """List the actions, newest first, of a deleted server too."""
    server = _find_with_history(call, server_id)
    return Response(200, {"instanceActions": [_serialize_action(action) for action in server.actions]})


def _serialize_action(action: Resource) -> Resource:
    return {name: value for name, value in action.items() if name != "lost"}


def _build_events(server: SimulatedServer, action: Resource) -> list[Resource]:
    """Return the action's only event, or none for an action whose message was lost."""
    if action.get("lost"):
        return []
    is_running = bool(server.plan) and action is server.actions[0]
    event = {
        "event": f"compute_{action['action']}_instance",
        "start_time": action["start_time"],
        "finish_time": None if is_running else action["updated_at"],
        "result": None if is_running else action["message"] or "Success",
        "host": None,
        "hostId": "",
        "details": None,
    }
    return [event]


def show_action(call: Call, server_id: str, request_id: str) -> Response:
    """Show one action with its events."""
    server = _find_with_history(call, server_id)
    found = next((a for a in server.actions if a["request_id"] == request_id), None)
    if found is None:
        raise not_found(f"Action for request_id {request_id} on instance {server_id} not found")
    return Response(
        200, {"instanceAction": {**_serialize_action(found), "events": _build_events(server, found)}}
    )


def _find_with_history(call: Call, server_id: str) -> SimulatedServer:
    server = call.region.servers.get(server_id)
    if server is None or not (call.token.is_admin or server.project_id == call.token.project_id):
        raise not_found(f"Instance {server_id} could not be found.")
    advance_server(call.state, call.region, server, call.now)
    return server


TABLE: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", "/servers/<server_id>/os-instance-actions", list_actions),
    ("GET", "/servers/<server_id>/os-instance-actions/<request_id>", show_action),
]
