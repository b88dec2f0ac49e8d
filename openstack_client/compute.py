"""Servers, flavors, zones and quotas: Nova."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .compute_hosts import ComputeHosts
from .errors import InvalidCloudRequestError
from .keypairs import Keypairs
from .nova_requests import COMPUTE_MICROVERSION, SERVICE, unwrap_list, unwrap_object
from .paging import Page, RecordPage, join_pages, json_pages, prefetch_pages, read_records
from .records import Flavor, Quota, Server, ServerReading, Zone
from .records.quota import quotas_from_json
from .server_actions import ServerActions
from .server_creation import ServerCreation
from .server_groups import ServerGroups
from .server_interfaces import ServerInterfaces
from .server_labels import ServerLabels
from .server_migrations import ServerMigrations
from .server_recovery import ServerRecovery
from .server_volumes import ServerVolumes
from .validation import validate_id, validate_name, validate_tag

__all__ = ["COMPUTE_MICROVERSION", "Compute"]

# For listings of few objects, which are joined. Nova returns at most this number in one page.
_SMALL_LISTING_PAGE_SIZE = 1000


class Compute(
    ServerActions,
    ServerCreation,
    ServerGroups,
    ServerInterfaces,
    ServerLabels,
    ServerMigrations,
    ServerRecovery,
    ServerVolumes,
    ComputeHosts,
    Keypairs,
):
    """Nova's calls. Each returns when Nova has accepted the request; nothing here waits for a state."""

    def check(self) -> None:
        """Call the endpoint with the cheapest request that needs a valid token."""
        self._call("GET", "/servers", "list servers", params={"limit": 1})

    def server_pages(
        self,
        *,
        changes_since: datetime | None = None,
        page_size: int = 1000,
        tag: str | None = None,
    ) -> Iterator[RecordPage[Server]]:
        """List the project's servers, newest first, page by page.

        With `changes_since` (aware, by our clock), only servers that changed at that time or later, deleted ones included
        (status DELETED). The time is converted to the cloud's clock, whose offset its answers show.
        Nova stores whole seconds, so the time is rounded down: a change may be listed twice, but is never missed.
        Raises `CloudUnavailableError` when the listing breaks off: the pages until then are not the whole fleet.
        """
        query = _build_server_query(self._to_cloud_time(changes_since), tag)
        for page in self._raw_pages(page_size, query):
            yield read_records(page, Server.from_json)

    def reading_pages(
        self, *, changes_since: datetime | None = None, page_size: int = 1000
    ) -> Iterator[RecordPage[ServerReading]]:
        """List the project's servers as `server_pages` does, as readings: for callers that mostly find no change.

        The next page is fetched while the last one is being processed, so a caller that is no slower than the cloud
        adds no time. Raises `CloudUnavailableError` when the listing breaks off.
        """
        pages = self._raw_pages(page_size, _build_server_query(self._to_cloud_time(changes_since), None))
        for page in prefetch_pages(pages, self._transport.check_guard):
            yield read_records(page, ServerReading.from_json)

    def _to_cloud_time(self, time: datetime | None) -> datetime | None:
        """Convert a time of our clock to Nova's, by the lowest offset of the last hour, so that it is never too late."""
        if time is None:
            return None
        if time.tzinfo is None:
            raise InvalidCloudRequestError("changes_since must carry its time zone.")
        clock = self._transport.clock
        if clock.offset(SERVICE) is None:
            # Without a reading of the service's clock, one request makes one.
            self.check()
        return time.astimezone(UTC) + timedelta(seconds=clock.earliest_offset(SERVICE) or 0.0)

    def _raw_pages(self, page_size: int, query: Mapping[str, Any]) -> Iterator[Page]:
        # Nova stores a server that is being built in two places, and lists it on two pages when it moves between them during
        # the listing (seen on Zed): `json_pages` yields it once.
        return json_pages(
            self._transport,
            SERVICE,
            "/servers/detail",
            "servers",
            doing="list servers",
            page_size=page_size,
            params=query,
            microversion=COMPUTE_MICROVERSION,
        )

    def list_servers(self, *, changes_since: datetime | None = None) -> Iterator[Server]:
        """List the servers of `server_pages`, one by one."""
        for page in self.server_pages(changes_since=changes_since):
            yield from page

    def get_server(self, server_id: str) -> Server:
        """Get one server. Raises `CloudNotFoundError`."""
        path = f"/servers/{validate_id(server_id, 'server')}"
        return Server.from_json(unwrap_object(self._call("GET", path, f"read server {server_id}"), "server"))

    def find_servers_by_tag(self, tag: str) -> list[Server]:
        """List the servers with this tag, whatever their state: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        pages = self._raw_pages(1000, _build_server_query(None, tag))
        return [Server.from_json(raw) for page in pages for raw in page]

    def rename_server(self, server_id: str, name: str) -> None:
        """Rename a server, whatever its state. Raises `CloudNotFoundError`.

        A name given while the server is in BUILD may be lost, though Nova accepts it (seen on Zed).
        """
        path = f"/servers/{validate_id(server_id, 'server')}"
        payload = {"server": {"name": validate_name(name, "server")}}
        self._call("PUT", path, f"rename server {server_id}", json=payload)

    def delete_server(self, server_id: str) -> None:
        """Request the deletion of a server. Raises `CloudNotFoundError`, which may mean success to the caller."""
        self._call("DELETE", f"/servers/{validate_id(server_id, 'server')}", f"delete server {server_id}")

    def list_flavors(self) -> RecordPage[Flavor]:
        """List the flavors that this project may use."""
        pages = json_pages(
            self._transport,
            SERVICE,
            "/flavors/detail",
            "flavors",
            doing="list flavors",
            page_size=_SMALL_LISTING_PAGE_SIZE,
            microversion=COMPUTE_MICROVERSION,
        )
        return join_pages(read_records(page, Flavor.from_json) for page in pages)

    def list_quotas(self) -> list[Quota]:
        """List the project's limits and usage, sorted by name."""
        path = f"/os-quota-sets/{validate_id(self._transport.project_id, 'project')}/detail"
        return quotas_from_json(SERVICE, unwrap_object(self._call("GET", path, "list quotas"), "quota_set"))

    def list_zones(self) -> RecordPage[Zone]:
        """List the availability zones for servers."""
        body = self._call("GET", "/os-availability-zone", "list availability zones")
        return read_records(unwrap_list(body, "availabilityZoneInfo"), Zone.from_json)


def _build_server_query(changes_since: datetime | None, tag: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if changes_since is not None:
        query["changes-since"] = changes_since.strftime("%Y-%m-%dT%H:%M:%SZ")
    if tag is not None:
        query["tags"] = validate_tag(tag)
    return query
