"""Networks, subnets, routers and quotas, and all other calls of Neutron."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import CloudError, CloudForbiddenError, CloudNotFoundError
from .floating_ips import FloatingIps
from .neutron_requests import PAGE_SIZE, SERVICE, read_object
from .paging import RecordPage
from .ports import Ports
from .records import Network, NetworkAvailability, Quota, Router, Subnet
from .records.quota import quotas_from_json
from .security_groups import SecurityGroups
from .translation import malformed_answer
from .validation import validate_id

__all__ = ["Networks"]


class Networks(SecurityGroups, FloatingIps, Ports):
    """Neutron's calls. Each returns when Neutron has made the change, except statuses, which its agents report later.

    Every listing holds the objects of the project and those shared with it. It raises `CloudUnavailableError` when it breaks
    off: the pages until then are incomplete.
    """

    def network_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[Network]]:
        """List networks, page by page: the project's own, shared and external ones."""
        return self._pages("/networks", "networks", Network.from_json, page_size)

    def get_network(self, network_id: str) -> Network:
        """Get one network. Raises `CloudNotFoundError`."""
        path = f"/networks/{validate_id(network_id, 'network')}"
        body = self._call("GET", path, f"read network {network_id}")
        return read_object(body, "network", Network.from_json)

    def get_network_availability(self, network_id: str) -> NetworkAvailability | None:
        """Get the number of a network's addresses and of the used ones.

        None where the cloud does not say: without the extension network-ip-availability, and, by Neutron's default policy, to
        everybody but administrators.
        """
        path = f"/network-ip-availabilities/{validate_id(network_id, 'network')}"
        try:
            body = self._call("GET", path, f"read the availability of network {network_id}")
        except (CloudNotFoundError, CloudForbiddenError):
            return None
        except CloudError as refused:
            # Without the extension the path does not exist; the form of the 404 differs between releases.
            if refused.status_code != 404:
                raise
            return None
        return read_object(body, "network_ip_availability", NetworkAvailability.from_json)

    def subnet_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[Subnet]]:
        """List subnets, page by page. A server cannot be put on a network without one.

        Subnets of external networks are only listed to administrators.
        """
        return self._pages("/subnets", "subnets", Subnet.from_json, page_size)

    def get_subnet(self, subnet_id: str) -> Subnet:
        """Get one subnet. Raises `CloudNotFoundError`."""
        path = f"/subnets/{validate_id(subnet_id, 'subnet')}"
        body = self._call("GET", path, f"read subnet {subnet_id}")
        return read_object(body, "subnet", Subnet.from_json)

    def router_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[Router]]:
        """List routers, page by page."""
        return self._pages("/routers", "routers", Router.from_json, page_size)

    def list_quotas(self) -> list[Quota]:
        """List the project's limits, sorted by name: "floatingip", "security_group", "security_group_rule", "port" and others.

        The usage is None where Neutron does not report it.
        """
        path = f"/quotas/{validate_id(self._transport.project_id, 'project')}"
        doing = "list quotas"
        try:
            body = self._call("GET", f"{path}/details.json", doing)
        except CloudError as refused:
            # Without the extension quota_details the path does not exist; the form of the 404 differs between releases.
            if refused.status_code != 404:
                raise
            body = self._call("GET", path, doing)
        if not isinstance(body, dict):
            raise malformed_answer("it holds no quota")
        return quotas_from_json(SERVICE, body.get("quota"))
