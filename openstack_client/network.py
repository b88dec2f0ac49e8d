"""Networks, subnets, routers and quotas, and all other calls of Neutron."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import CloudError
from .floating_ips import FloatingIps
from .neutron_requests import PAGE_SIZE, SERVICE
from .paging import RecordPage
from .ports import Ports
from .records import Network, Quota, Router, Subnet
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

    def subnet_pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[RecordPage[Subnet]]:
        """List subnets, page by page. A server cannot be put on a network without one.

        Subnets of external networks are only listed to administrators.
        """
        return self._pages("/subnets", "subnets", Subnet.from_json, page_size)

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
