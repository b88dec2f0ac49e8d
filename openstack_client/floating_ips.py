"""Floating IPs: Neutron."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import CloudFloatingIpAttachedError
from .markers import build_description
from .neutron_requests import PAGE_SIZE, NeutronRequests, read_object
from .paging import RecordPage
from .records import FloatingIp
from .validation import validate_id

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

    def create_floating_ip(
        self, network_id: str, *, description: str = "", marker: str | None = None
    ) -> FloatingIp:
        """Take a floating IP of an external network. Not safe to repeat: look for its marker first.

        After `CloudUnavailableError` it may exist nevertheless. Raises `CloudNotFoundError`, `CloudQuotaExceededError`,
        `CloudAddressesExhaustedError`, and `InvalidCloudRequestError` for a network that is not external.
        """
        payload = {
            "floating_network_id": validate_id(network_id, "network"),
            "description": build_description(description, marker),
        }
        doing = f"create a floating IP of network {network_id}"
        body = self._call("POST", _PATH, doing, json={"floatingip": payload})
        return read_object(body, "floatingip", FloatingIp.from_json)

    def attach_floating_ip(self, floating_ip_id: str, port_id: str) -> FloatingIp:
        """Attach a floating IP to a port, by its first IPv4 address. Safe to repeat.

        Its status becomes ACTIVE later. Raises `CloudNotFoundError` for either, `CloudFloatingIpAttachedError` when it is attached to
        another port, `CloudPortHasFloatingIpError`, `CloudNoRouteError`, `InvalidCloudRequestError` when the port has no IPv4
        address, and `CloudChangedError` when it changes at the same moment, also by its status: then try again.
        """
        wanted = validate_id(port_id, "port")
        doing = f"attach floating IP {floating_ip_id} to port {port_id}"
        return self._change_port(floating_ip_id, wanted, doing, expected={None, wanted})

    def detach_floating_ip(self, floating_ip_id: str, *, port_id: str | None = None) -> FloatingIp:
        """Detach a floating IP from its port. Safe to repeat. Its status becomes DOWN later.

        With `port_id`, only from that port: attached to another one, it raises `CloudFloatingIpAttachedError`. Raises
        `CloudNotFoundError`, and `CloudChangedError` when it changes at the same moment, also by its status: then try again.
        """
        expected = None if port_id is None else {None, validate_id(port_id, "port")}
        doing = f"detach floating IP {floating_ip_id}"
        return self._change_port(floating_ip_id, None, doing, expected=expected)

    def delete_floating_ip(self, floating_ip_id: str) -> None:
        """Give a floating IP back, attached or not; one that is gone already is a success."""
        self._delete(_build_path(floating_ip_id), f"delete floating IP {floating_ip_id}")

    def _change_port(
        self, floating_ip_id: str, port_id: str | None, doing: str, *, expected: set[str | None] | None
    ) -> FloatingIp:
        """Change the port of a floating IP as it was read, so that a change by others is never undone unseen."""
        now = self.get_floating_ip(floating_ip_id)
        if expected is not None and now.port_id not in expected:
            raise CloudFloatingIpAttachedError(
                f"Could not {doing}: it is attached to port {now.port_id}. Detach it there first."
            )
        if now.port_id == port_id:
            return now
        payload = {"floatingip": {"port_id": port_id}}
        body = self._call("PUT", _build_path(floating_ip_id), doing, json=payload, revision=now.revision)
        return read_object(body, "floatingip", FloatingIp.from_json)


def _build_path(floating_ip_id: str) -> str:
    return f"{_PATH}/{validate_id(floating_ip_id, 'floating IP')}"
