"""Ports on servers, attached and detached by Nova."""

from __future__ import annotations

from .errors import (
    CloudConflictError,
    CloudNotFoundError,
    CloudServerLockedError,
)
from .nova_requests import NovaRequests, unwrap_list
from .paging import RecordPage, read_records
from .records import ServerInterface
from .validation import validate_id


class ServerInterfaces(NovaRequests):
    """Attaching and detaching. Only a server that is active, paused or stopped and has no task accepts either."""

    def list_interfaces(self, server_id: str) -> RecordPage[ServerInterface]:
        """List the ports on a server. Raises `CloudNotFoundError`."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-interface"
        body = self._call("GET", path, f"list the interfaces of server {server_id}")
        return read_records(unwrap_list(body, "interfaceAttachments"), ServerInterface.from_json)

    def attach_port(self, server_id: str, port_id: str) -> None:
        """Attach an existing port to a server, and return once it is attached. Safe to repeat.

        The port outlives the server. Raises `CloudNotFoundError` for the server or the port, and `CloudConflictError` when another server
        has the port, or the state of the server does not allow it.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/os-interface"
        payload = {"interfaceAttachment": {"port_id": validate_id(port_id, "port")}}
        try:
            self._call("POST", path, f"attach port {port_id} to server {server_id}", json=payload)
        except CloudServerLockedError:
            raise
        except CloudConflictError as conflict:
            refused = conflict
        else:
            return
        # Nova does not tell whose the port is: perhaps it is this server's since an earlier attempt.
        if all(interface.port_id != port_id for interface in self.list_interfaces(server_id)):
            raise refused

    def detach_interface(self, server_id: str, port_id: str) -> None:
        """Request the detachment of a port. Safe to repeat: a port that the server does not have is no error.

        A port that Nova made is deleted, another one is free again. `list_interfaces` shows when it is done.
        Raises `CloudNotFoundError` for the server, and `CloudConflictError` when its state does not allow it.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/os-interface/{validate_id(port_id, 'port')}"
        try:
            self._call("DELETE", path, f"detach port {port_id} from server {server_id}")
        except CloudNotFoundError:
            # Of the server, or of the port: this raises for the server.
            self.list_interfaces(server_id)
