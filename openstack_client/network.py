"""Networks, subnets, ports, routers, floating IPs and security groups: Neutron."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .errors import CloudError
from .paging import RecordPage, json_pages, read_records
from .records import FloatingIp, Network, Port, Quota, Router, SecurityGroup, Subnet
from .records.quota import quotas_from_json
from .translation import malformed_answer
from .transport import Transport
from .validation import validate_id

_SERVICE = "network"
_PAGE_SIZE = 500

_Record = TypeVar("_Record")


class Networks:
    """Neutron's calls.

    Every listing holds the objects of the project and those shared with it. It raises `CloudUnavailableError` when it breaks
    off: the pages until then are incomplete.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def network_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Network]]:
        """List networks, page by page: the project's own, shared and external ones."""
        return self._pages("/networks", "networks", Network.from_json, page_size)

    def subnet_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Subnet]]:
        """List subnets, page by page. A server cannot be put on a network without one."""
        return self._pages("/subnets", "subnets", Subnet.from_json, page_size)

    def router_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Router]]:
        """List routers, page by page."""
        return self._pages("/routers", "routers", Router.from_json, page_size)

    def port_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[Port]]:
        """List ports, page by page: of servers, of routers, and unused ones."""
        return self._pages("/ports", "ports", Port.from_json, page_size)

    def floating_ip_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[FloatingIp]]:
        """List floating IPs, page by page."""
        return self._pages("/floatingips", "floatingips", FloatingIp.from_json, page_size)

    def security_group_pages(self, *, page_size: int = _PAGE_SIZE) -> Iterator[RecordPage[SecurityGroup]]:
        """List security groups, page by page."""
        return self._pages("/security-groups", "security_groups", SecurityGroup.from_json, page_size)

    def list_quotas(self) -> list[Quota]:
        """List the project's limits, sorted by name. The usage is None where Neutron does not report it."""
        path = f"/quotas/{validate_id(self._transport.project_id, 'project')}"
        doing = "list quotas"
        try:
            body = self._transport.request(_SERVICE, "GET", f"{path}/details.json", doing=doing)
        except CloudError as refused:
            # Without the extension quota_details the path does not exist; the form of the 404 differs between releases.
            if refused.status_code != 404:
                raise
            body = self._transport.request(_SERVICE, "GET", path, doing=doing)
        if not isinstance(body, dict):
            raise malformed_answer("it holds no quota")
        return quotas_from_json(_SERVICE, body.get("quota"))

    def _pages(
        self, path: str, key: str, from_json: Callable[[Any], _Record], page_size: int
    ) -> Iterator[RecordPage[_Record]]:
        doing = f"list {path.removeprefix('/').replace('-', ' ')}"
        for page in json_pages(self._transport, _SERVICE, path, key, doing=doing, page_size=page_size):
            yield read_records(page, from_json)
