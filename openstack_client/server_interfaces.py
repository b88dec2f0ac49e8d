"""Ports on servers, attached and detached by Nova."""

from __future__ import annotations

from typing import Any

from .errors import (
    CloudConflictError,
    CloudNotFoundError,
    CloudServerLockedError,
    CloudUnavailableError,
    InvalidCloudRequestError,
)
from .nova_requests import NovaRequests, unwrap_list, unwrap_object
from .paging import RecordPage, read_records
from .records import ServerInterface
from .validation import validate_address, validate_id


class ServerInterfaces(NovaRequests):
    """Attaching and detaching. Only a server that is active, paused or stopped and has no task accepts either."""

    def list_interfaces(self, server_id: str) -> RecordPage[ServerInterface]:
        """List the ports on a server. Raises `CloudNotFoundError`."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-interface"
        body = self._call("GET", path, f"list the interfaces of server {server_id}")
        return read_records(unwrap_list(body, "interfaceAttachments"), ServerInterface.from_json)

    def attach_port(self, server_id: str, port_id: str) -> ServerInterface:
        """Attach an existing port to a server, and return it once it is attached. Safe to repeat.

        The port outlives the server. Raises `CloudNotFoundError` for the server or the port, and `CloudConflictError` when another server
        has the port, or the state of the server does not allow it.
        """
        try:
            return self._attach(
                server_id, {"port_id": validate_id(port_id, "port")}, f"attach port {port_id}"
            )
        except CloudServerLockedError:
            raise
        except CloudConflictError as conflict:
            refused = conflict
        # Nova does not tell whose the port is: perhaps it is this server's since an earlier attempt.
        for interface in self.list_interfaces(server_id):
            if interface.port_id == port_id:
                return interface
        raise refused

    def attach_network(
        self, server_id: str, network_id: str, *, fixed_ip: str | None = None
    ) -> ServerInterface:
        """Attach a server to a network by a new port, and return it once it is attached. It is deleted with the server.

        Not safe to repeat without `fixed_ip`: after `CloudUnavailableError`, look in `list_interfaces`. A caller that must not
        attach twice creates a port in Neutron and attaches that. Raises `CloudNotFoundError` for the server or the network,
        `CloudConflictError` when the address is taken or the state of the server does not allow it, `CloudForbiddenError` for an external
        network, and `InvalidCloudRequestError` when the network has no subnet or no free address, or the address is in no subnet.
        Zed answers 500 for a network that does not exist: `CloudUnavailableError`.
        """
        payload: dict[str, Any] = {"net_id": validate_id(network_id, "network")}
        if fixed_ip is not None:
            payload["fixed_ips"] = [{"ip_address": validate_address(fixed_ip)}]
        try:
            return self._attach(server_id, payload, f"attach network {network_id}")
        except CloudUnavailableError as error:
            # Zed answers 500 when its compute service finds the address invalid; a repetition would fail for ever.
            if fixed_ip is None or error.status_code != 500 or "InvalidInput" not in error.message:
                raise
            refused = error
        raise InvalidCloudRequestError(
            f"Could not attach network {network_id} to server {server_id}: {fixed_ip} is in none of the network's subnets.",
            status_code=400,
            request_id=refused.request_id,
        )

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

    def _attach(self, server_id: str, payload: dict[str, Any], doing: str) -> ServerInterface:
        path = f"/servers/{validate_id(server_id, 'server')}/os-interface"
        body = self._call(
            "POST", path, f"{doing} to server {server_id}", json={"interfaceAttachment": payload}
        )
        return ServerInterface.from_json(unwrap_object(body, "interfaceAttachment"))
