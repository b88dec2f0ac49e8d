"""Hypervisors, services and host aggregates: Nova, for administrators of the cloud."""

from __future__ import annotations

from .nova_requests import COMPUTE_MICROVERSION, SERVICE, NovaRequests, unwrap_list
from .paging import RecordPage, join_pages, json_pages, read_records
from .records import ComputeService, HostAggregate, Hypervisor


class ComputeHosts(NovaRequests):
    """Nova's view of its hosts. Every call raises `CloudForbiddenError` unless the account is an administrator's."""

    def list_hypervisors(self) -> RecordPage[Hypervisor]:
        """List the hypervisors of the region with their use."""
        pages = json_pages(
            self._transport,
            SERVICE,
            "/os-hypervisors/detail",
            "hypervisors",
            doing="list hypervisors",
            page_size=1000,
            microversion=COMPUTE_MICROVERSION,
        )
        return join_pages(read_records(page, Hypervisor.from_json) for page in pages)

    def list_compute_services(self) -> RecordPage[ComputeService]:
        """List Nova's services on all hosts: whether they report, and whether they are enabled."""
        body = self._call("GET", "/os-services", "list the services of Nova")
        return read_records(unwrap_list(body, "services"), ComputeService.from_json)

    def list_host_aggregates(self) -> RecordPage[HostAggregate]:
        """List the host aggregates with their hosts."""
        body = self._call("GET", "/os-aggregates", "list host aggregates")
        return read_records(unwrap_list(body, "aggregates"), HostAggregate.from_json)
