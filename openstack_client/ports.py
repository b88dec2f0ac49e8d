"""Ports: Neutron."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .errors import CloudAddressIsGatewayError, InvalidCloudRequestError
from .markers import build_description
from .neutron_requests import PAGE_SIZE, NeutronRequests, read_object
from .paging import RecordPage
from .records import FixedIp, Port, Subnet
from .validation import validate_address, validate_id, validate_name

_PATH = "/ports"
# Far above what a port can use: Neutron's max_fixed_ips_per_port was 5, and a group costs every packet.
_MAX_FIXED_IPS = 20
_MAX_GROUPS = 100


class Ports(NeutronRequests):
    """Neutron's calls for ports.

    Nova makes a port for each network of a new server, and removes it with the server; a port that was made here and given to
    a server stays when the server is removed, unattached.
    """

    def port_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[Port]]:
        """List ports, page by page: of servers, of routers, and unused ones."""
        return self._pages(_PATH, "ports", Port.from_json, page_size)

    def get_port(self, port_id: str) -> Port:
        """Get one port. Raises `CloudNotFoundError`."""
        body = self._call("GET", _build_path(port_id), f"read port {port_id}")
        return read_object(body, "port", Port.from_json)

    def list_server_ports(self, server_id: str) -> list[Port]:
        """List the ports of a server; [] for a server that does not exist, or has none yet.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        wanted = validate_id(server_id, "server")
        return self._find(
            _PATH, "ports", Port.from_json, {"device_id": wanted}, lambda port: port.device_id == wanted
        )

    def find_ports_by_marker(self, marker: str) -> list[Port]:
        """List the project's ports with this marker: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        return self._find_by_marker(_PATH, "ports", Port.from_json, marker)

    def create_port(
        self,
        network_id: str,
        *,
        name: str = "",
        marker: str | None = None,
        fixed_ips: Sequence[FixedIp] = (),
        security_group_ids: Sequence[str] | None = None,
    ) -> Port:
        """Create an unused port, to give to a server. Not safe to repeat: look for its marker first.

        Each of `fixed_ips` requests an address, in any subnet of the network when its `subnet_id` is "", or any address of a
        subnet when its `ip_address` is "". Without them Neutron chooses, one address of each IP version. Without
        `security_group_ids` the port is in the group "default"; with [] in none. After `CloudUnavailableError` the port may exist nevertheless.
        Raises `CloudNotFoundError` (network, subnet, group), `CloudQuotaExceededError`, `CloudAddressInUseError`,
        `CloudAddressOutsideSubnetError`, `CloudAddressIsGatewayError`, `CloudAddressesExhaustedError`, and
        `CloudPortSecurityError` for groups on a network without port security.
        """
        payload: dict[str, Any] = {
            "network_id": validate_id(network_id, "network"),
            "name": validate_name(name, "port") if name else "",
            "description": build_description("", marker),
        }
        if fixed_ips:
            payload["fixed_ips"] = _build_fixed_ips(fixed_ips)
            self.refuse_gateways(network_id, [fixed.ip_address for fixed in fixed_ips if fixed.ip_address])
        if security_group_ids is not None:
            payload["security_groups"] = _validate_groups(security_group_ids)
        doing = f"create a port on network {network_id}"
        body = self._call("POST", _PATH, doing, json={"port": payload})
        return read_object(body, "port", Port.from_json)

    def refuse_gateways(self, network_id: str, addresses: Iterable[str]) -> None:
        """Raise `CloudAddressIsGatewayError` if one of the addresses is that of a gateway of the network's subnets.

        Neutron gives a gateway's address to a port as long as no router has it, and the network's servers would then send to
        that port. `create_port` calls this itself; a caller that lets Nova make the port calls it before.
        """
        wanted = {validate_address(address) for address in addresses}
        if not wanted:
            return
        for page in self._pages("/subnets", "subnets", Subnet.from_json, params={"network_id": network_id}):
            for subnet in page:
                if (
                    subnet.network_id == network_id
                    and subnet.gateway_ip
                    and validate_address(subnet.gateway_ip) in wanted
                ):
                    raise CloudAddressIsGatewayError(
                        f"{subnet.gateway_ip} is the gateway of subnet {subnet.name or subnet.id}; choose another address."
                    )

    def set_port_security_groups(
        self, port_id: str, group_ids: Sequence[str], *, revision: int | None
    ) -> Port:
        """Replace all security groups of a port; [] leaves it in none, which lets nothing in or out.

        `revision` is that of the port when its groups were read: if others have changed it since, nothing is changed, and
        `CloudChangedError` is raised. None overwrites whatever they did. Raises `CloudNotFoundError` for the port or a group, and
        `CloudPortSecurityError`.
        """
        payload = {"security_groups": _validate_groups(group_ids)}
        doing = f"set the security groups of port {port_id}"
        body = self._call("PUT", _build_path(port_id), doing, json={"port": payload}, revision=revision)
        return read_object(body, "port", Port.from_json)

    def delete_port(self, port_id: str) -> None:
        """Delete a port; one that is gone already is a success. Its floating IPs are detached, and stay.

        A server loses its interface. Raises `CloudInUseError` for a port of a router.
        """
        self._delete(_build_path(port_id), f"delete port {port_id}")


def _build_path(port_id: str) -> str:
    return f"{_PATH}/{validate_id(port_id, 'port')}"


def _build_fixed_ips(fixed_ips: Sequence[FixedIp]) -> list[dict[str, str]]:
    if len(fixed_ips) > _MAX_FIXED_IPS:
        raise InvalidCloudRequestError(f"A port has at most {_MAX_FIXED_IPS} fixed addresses.")
    found = []
    for fixed in fixed_ips:
        item = {}
        if fixed.subnet_id:
            item["subnet_id"] = validate_id(fixed.subnet_id, "subnet")
        if fixed.ip_address:
            item["ip_address"] = validate_address(fixed.ip_address)
        if not item:
            raise InvalidCloudRequestError("A fixed address needs a subnet or an address.")
        found.append(item)
    return found


def _validate_groups(group_ids: Sequence[str]) -> list[str]:
    if isinstance(group_ids, str) or len(group_ids) > _MAX_GROUPS:
        raise InvalidCloudRequestError(f"A port has at most {_MAX_GROUPS} security groups.")
    # Neutron itself answers 500 to some repetitions.
    return list(dict.fromkeys(validate_id(group_id, "security group") for group_id in group_ids))
