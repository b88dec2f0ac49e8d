"""Nova: lookup of the server that a request names."""

from __future__ import annotations

from .calls import Call
from .http_messages import conflict, not_found
from .server import SimulatedServer
from .transitions import advance_server


def find_server(call: Call, server_id: str) -> SimulatedServer:
    """Return a server that the caller may see, brought up to date. Raises `HttpError` 404, for another project's server too."""
    server = call.region.servers.get(server_id)
    if server is not None:
        advance_server(call.state, call.region, server, call.now)
    if (
        server is None
        or server.is_deleted
        or not (call.token.is_admin or server.project_id == call.token.project_id)
    ):
        raise not_found(f"Instance {server_id} could not be found.")
    return server


def check_lock(call: Call, server: SimulatedServer) -> None:
    """Raise `HttpError` 409 for a change of a locked server, unless an administrator requests it."""
    if server.locked and not call.token.is_admin:
        raise conflict(f"Instance {server.id} is locked")
