"""Networks and subnets: Neutron."""

from __future__ import annotations

from .paging import json_pages
from .records import Network, Subnet
from .transport import Transport


class Networks:
    """Neutron's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_networks(self) -> list[Network]:
        """The networks that this project sees: its own, shared and external ones."""
        pages = json_pages(
            self._transport, "network", "/networks", "networks", doing="list networks", page_size=500
        )
        return [Network.from_json(raw) for page in pages for raw in page]

    def list_subnets(self) -> list[Subnet]:
        """The subnets that this project sees. A server cannot be put on a network that has none."""
        pages = json_pages(
            self._transport, "network", "/subnets", "subnets", doing="list subnets", page_size=500
        )
        return [Subnet.from_json(raw) for page in pages for raw in page]
