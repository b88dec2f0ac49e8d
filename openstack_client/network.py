"""Networks and what hangs on them: Neutron."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .checks import checked_id
from .errors import CloudError
from .paging import RecordPage, joined, json_pages, read_records
from .records import FloatingIp, Network, Port, Quota, Router, SecurityGroup, Subnet
from .records.quota import quotas_from_json
from .translation import nonsense
from .transport import Transport

_SERVICE = "network"
_PAGE_SIZE = 500

_Record = TypeVar("_Record")


class Networks:
    """Neutron's calls.

    Every listing holds what this project sees: its own, and what is shared with it. All of them raise `CloudUnavailable`
    when the listing breaks off: pages already read are then not all.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def network_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Network]]:
        """Networks, page by page: the project's own, shared and external ones."""
        return self._pages("/networks", "networks", Network.from_json, page_size)

    def list_networks(self) -> RecordPage[Network]:
        """The networks of `network_pages`."""
        return joined(self.network_pages())

    def subnet_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Subnet]]:
        """Subnets, page by page. A server cannot be put on a network that has none."""
        return self._pages("/subnets", "subnets", Subnet.from_json, page_size)

    def list_subnets(self) -> RecordPage[Subnet]:
        """The subnets of `subnet_pages`."""
        return joined(self.subnet_pages())

    def router_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Router]]:
        """Routers, page by page."""
        return self._pages("/routers", "routers", Router.from_json, page_size)

    def port_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Port]]:
        """Ports, page by page: of servers, of routers, and unused ones."""
        return self._pages("/ports", "ports", Port.from_json, page_size)

    def floating_ip_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[FloatingIp]]:
        """Floating IPs, page by page."""
        return self._pages("/floatingips", "floatingips", FloatingIp.from_json, page_size)

    def security_group_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[SecurityGroup]]:
        """Security groups, page by page."""
        return self._pages("/security-groups", "security_groups", SecurityGroup.from_json, page_size)

    def list_quotas(self) -> list[Quota]:
        """The project's limits, sorted by name. A Neutron that does not say what is in use has None there."""
        path = f"/quotas/{checked_id(self._transport.project_id, 'project')}"
        doing = "list quotas"
        try:
            body = self._transport.request(_SERVICE, "GET", f"{path}/details.json", doing=doing)
        except CloudError as refused:
            # Without the extension quota_details there is nothing at that path, and who says so differs with its age.
            if refused.status_code != 404:
                raise
            body = self._transport.request(_SERVICE, "GET", path, doing=doing)
        if not isinstance(body, dict):
            raise nonsense("it holds no quota")
        return quotas_from_json(_SERVICE, body.get("quota"))

    def _pages(
        self, path: str, key: str, from_json: Callable[[Any], _Record], page_size: int
    ) -> Iterator[RecordPage[_Record]]:
        doing = f"list {path.removeprefix('/').replace('-', ' ')}"
        for page in json_pages(self._transport, _SERVICE, path, key, doing=doing, page_size=page_size):
            yield read_records(page, from_json)
