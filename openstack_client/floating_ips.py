"""Floating IPs: Neutron."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import CloudFloatingIpAttachedError
from .markers import build_description
from .neutron_requests import PAGE_SIZE, NeutronRequests, read_object
from .paging import RecordPage
from .records import FloatingIp
from .validation import validate_address, validate_id

_PATH = "/floatingips"


class FloatingIps(NeutronRequests):
    """Neutron's calls for floating IPs."""

    def floating_ip_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[FloatingIp]]:
        """List floating IPs, page by page."""
        return self._pages(_PATH, "floatingips", FloatingIp.from_json, page_size)

    def get_floating_ip(self, floating_ip_id: str) -> FloatingIp:
        """Get one floating IP. Raises `CloudNotFoundError`."""
        body = self._call("GET", _build_path(floating_ip_id), f"read floating IP {floating_ip_id}")
        return read_object(body, "floatingip", FloatingIp.from_json)

    def find_floating_ips_by_marker(self, marker: str) -> list[FloatingIp]:
        """List the project's floating IPs with this marker: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        return self._find_by_marker(_PATH, "floatingips", FloatingIp.from_json, marker)

    def list_port_floating_ips(self, port_id: str) -> list[FloatingIp]:
        """List the project's floating IPs that are attached to a port.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        wanted = validate_id(port_id, "port")
        return self._find(
            _PATH,
            "floatingips",
            FloatingIp.from_json,
            {"port_id": wanted},
            lambda found: found.port_id == wanted,
        )

    def create_floating_ip(
        self,
        network_id: str,
        *,
        description: str = "",
        marker: str | None = None,
        subnet_id: str | None = None,
        port_id: str | None = None,
        fixed_address: str | None = None,
    ) -> FloatingIp:
        """Take a floating IP of an external network, and attach it when a port is given. Not safe to repeat: look for its marker first.

        After `CloudUnavailableError` it may exist nevertheless. Raises `CloudNotFoundError` (network, subnet, port),
        `CloudQuotaExceededError`, `CloudAddressesExhaustedError`, `CloudNoRouteError`, `CloudPortHasFloatingIpError`, and
        `InvalidCloudRequestError` for a network that is not external, or a port without an IPv4 address. Nothing is left after any of these.
        """
        payload: dict[str, Any] = {
            "floating_network_id": validate_id(network_id, "network"),
            "description": build_description(description, marker),
        }
        if subnet_id is not None:
            payload["subnet_id"] = validate_id(subnet_id, "subnet")
        if port_id is not None:
            payload |= _build_target(port_id, fixed_address)
        doing = f"create a floating IP of network {network_id}"
        body = self._call("POST", _PATH, doing, json={"floatingip": payload})
        return read_object(body, "floatingip", FloatingIp.from_json)

    def describe_floating_ip(
        self, floating_ip_id: str, description: str, *, marker: str | None = None
    ) -> FloatingIp:
        """Replace the description of a floating IP, and its marker. Raises `CloudNotFoundError`."""
        payload = {"description": build_description(description, marker)}
        return self._update_floating_ip(floating_ip_id, payload, f"describe floating IP {floating_ip_id}")

    def attach_floating_ip(
        self, floating_ip_id: str, port_id: str, *, fixed_address: str | None = None
    ) -> FloatingIp:
        """Attach a floating IP to a port, by its first IPv4 address unless one is given. Safe to repeat.

        Its status becomes ACTIVE later. Raises `CloudNotFoundError` for either, `CloudFloatingIpAttachedError` when it is attached to
        another port, `CloudPortHasFloatingIpError`, `CloudNoRouteError`, `InvalidCloudRequestError` when the port has no such
        address, and `CloudChangedError` when it changes at the same moment, also by its status: then try again.
        """
        payload = _build_target(port_id, fixed_address)
        doing = f"attach floating IP {floating_ip_id} to port {port_id}"
        return self._change_port(floating_ip_id, payload, doing, expected={None, port_id})

    def detach_floating_ip(self, floating_ip_id: str, *, port_id: str | None = None) -> FloatingIp:
        """Detach a floating IP from its port. Safe to repeat. Its status becomes DOWN later.

        With `port_id`, only from that port: attached to another one, it raises `CloudFloatingIpAttachedError`. Raises
        `CloudNotFoundError`, and `CloudChangedError` when it changes at the same moment, also by its status: then try again.
        """
        expected = None if port_id is None else {None, validate_id(port_id, "port")}
        doing = f"detach floating IP {floating_ip_id}"
        return self._change_port(floating_ip_id, {"port_id": None}, doing, expected=expected)

    def delete_floating_ip(self, floating_ip_id: str) -> None:
        """Give a floating IP back, attached or not; one that is gone already is a success."""
        self._delete(_build_path(floating_ip_id), f"delete floating IP {floating_ip_id}")

    def _change_port(
        self, floating_ip_id: str, payload: dict[str, Any], doing: str, *, expected: set[str | None] | None
    ) -> FloatingIp:
        """Change the port of a floating IP as it was read, so that a change by others is never undone unseen."""
        now = self.get_floating_ip(floating_ip_id)
        if expected is not None and now.port_id not in expected:
            raise CloudFloatingIpAttachedError(
                f"Could not {doing}: it is attached to port {now.port_id}. Detach it there first."
            )
        if now.port_id == payload["port_id"] and payload.get("fixed_ip_address") in {None, now.fixed_address}:
            return now
        return self._update_floating_ip(floating_ip_id, payload, doing, revision=now.revision)

    def _update_floating_ip(
        self, floating_ip_id: str, payload: dict[str, Any], doing: str, *, revision: int | None = None
    ) -> FloatingIp:
        body = self._call(
            "PUT", _build_path(floating_ip_id), doing, json={"floatingip": payload}, revision=revision
        )
        return read_object(body, "floatingip", FloatingIp.from_json)


def _build_path(floating_ip_id: str) -> str:
    return f"{_PATH}/{validate_id(floating_ip_id, 'floating IP')}"


def _build_target(port_id: str, fixed_address: str | None) -> dict[str, Any]:
    payload = {"port_id": validate_id(port_id, "port")}
    if fixed_address is not None:
        payload["fixed_ip_address"] = validate_address(fixed_address)
    return payload
