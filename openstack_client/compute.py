"""Servers and flavors: Nova."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .checks import checked_id, checked_metadata, checked_name, checked_tag
from .errors import InvalidRequest
from .paging import fetched_ahead, json_pages
from .records import Flavor, Server, ServerAction, ServerReading
from .translation import nonsense
from .transport import Transport

# One version for every call: 2.52 takes tags in a create, 2.47 embeds the flavor, 2.58 dates actions, and since 2.69 a
# server in a cell that is down is listed as UNKNOWN instead of being left out, which would look like a loss.
# Every cloud since Stein (2019) has it.
COMPUTE_MICROVERSION = "2.69"
_SERVICE = "compute"


class Compute:
    """Nova's calls. Each returns when Nova has accepted the request; nothing here waits for a state."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def check(self) -> None:
        """Touch the endpoint with the cheapest call that needs a valid token."""
        self._call("GET", "/servers", "list servers", params={"limit": 1})

    def server_pages(
        self,
        *,
        changes_since: datetime | None = None,
        page_size: int = 1000,
        tag: str | None = None,
        statuses: Sequence[str] = (),
    ) -> Iterator[list[Server]]:
        """The project's servers, newest first, page by page.

        With `changes_since` (aware), what changed at that moment or later, deleted servers included (status DELETED).
        Nova keeps whole seconds, so the moment is rounded down: a change within it may be seen twice, never missed.
        Raises `CloudUnavailable` when the listing breaks off: pages already read are then not the whole fleet.
        """
        query = _server_query(changes_since, tag, statuses)
        from_json = Server.from_json
        for page in self._raw_pages(page_size, query):
            yield [from_json(raw) for raw in page]

    def reading_pages(self, *, page_size: int = 1000) -> Iterator[list[ServerReading]]:
        """All of the project's servers, newest first, page by page, as readings: for who mostly finds nothing new.

        The next page is fetched while the last one is being looked at, so a reader that is no slower than the cloud
        costs no time of its own. Raises `CloudUnavailable` when the listing breaks off.
        """
        from_json = ServerReading.from_json
        for page in fetched_ahead(self._raw_pages(page_size, {}), self._transport.check_guard):
            yield [from_json(raw) for raw in page]

    def _raw_pages(self, page_size: int, query: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        building: set[str] = set()
        for page in json_pages(
            self._transport,
            _SERVICE,
            "/servers/detail",
            "servers",
            doing="list servers",
            page_size=page_size,
            params=query,
            microversion=COMPUTE_MICROVERSION,
        ):
            # Nova keeps a server that is being built in two places, and shows it on two pages when it moves between
            # them while we read (seen on Zed). Only such ones are remembered, so memory does not grow with the fleet.
            once: list[Any] = page
            if building:
                once = [raw for raw in once if not (isinstance(raw, dict) and raw.get("id") in building)]
            building.update(_ids_in_build(once))
            yield once

    def list_servers(
        self,
        *,
        changes_since: datetime | None = None,
        page_size: int = 1000,
        tag: str | None = None,
        statuses: Sequence[str] = (),
    ) -> Iterator[Server]:
        """The servers of `server_pages`, one by one."""
        for page in self.server_pages(
            changes_since=changes_since, page_size=page_size, tag=tag, statuses=statuses
        ):
            yield from page

    def get_server(self, server_id: str) -> Server:
        """One server. Raises `NotFound`."""
        path = f"/servers/{checked_id(server_id, 'server')}"
        return Server.from_json(_inner(self._call("GET", path, f"read server {server_id}"), "server"))

    def find_servers_by_tag(self, tag: str) -> list[Server]:
        """All servers with this tag, whatever their state: what an earlier attempt to create one has left."""
        return list(self.list_servers(tag=tag))

    def create_server(
        self,
        *,
        name: str,
        flavor_id: str,
        network_ids: Sequence[str],
        tag: str,
        image_id: str | None = None,
        boot_volume_id: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
        key_name: str | None = None,
    ) -> Server:
        """Ask for a server, from an image or from a volume. Look for `tag` first: this call is not safe to repeat.

        Nova answers with the id alone, so the record holds that and what was asked for; the rest comes with
        `get_server`. When it raises `CloudUnavailable`, the server may exist all the same.
        Raises `QuotaExceeded`, `Conflict`, `Forbidden`, `InvalidRequest`.
        """
        if (image_id is None) == (boot_volume_id is None):
            raise InvalidRequest(
                "A server boots from an image or from a volume: exactly one of them is needed."
            )
        if isinstance(network_ids, str) or not network_ids:
            raise InvalidRequest("A server needs at least one network.")
        wanted: dict[str, Any] = {
            "name": checked_name(name, "server"),
            "flavorRef": checked_id(flavor_id, "flavor"),
            "networks": [{"uuid": checked_id(network_id, "network")} for network_id in network_ids],
            "tags": [checked_tag(tag)],
            "metadata": checked_metadata(metadata),
        }
        if image_id is not None:
            wanted["imageRef"] = checked_id(image_id, "image")
        if boot_volume_id is not None:
            wanted["block_device_mapping_v2"] = [
                {
                    "boot_index": 0,
                    "uuid": checked_id(boot_volume_id, "volume"),
                    "source_type": "volume",
                    "destination_type": "volume",
                    "delete_on_termination": False,
                }
            ]
        if availability_zone is not None:
            wanted["availability_zone"] = checked_name(availability_zone, "availability zone")
        if key_name is not None:
            wanted["key_name"] = checked_name(key_name, "key pair")
        body = self._call("POST", "/servers", f"create server {name}", json={"server": wanted})
        answer = _inner(body, "server")
        # The answer also holds the server's first password (adminPass). It is dropped here.
        return Server.from_json(
            {
                "id": answer.get("id"),
                "name": name,
                "status": "BUILD",
                "tags": [tag],
                "metadata": wanted["metadata"],
            }
        )

    def start_server(self, server_id: str) -> None:
        """Start a stopped server. Raises `Conflict` when its state does not allow it, also when it already runs."""
        self._act(server_id, {"os-start": None}, "start")

    def stop_server(self, server_id: str) -> None:
        """Stop a running server. Raises `Conflict` when its state does not allow it, also when it is stopped."""
        self._act(server_id, {"os-stop": None}, "stop")

    def reboot_server(self, server_id: str, *, hard: bool) -> None:
        """Restart a server: softly asks its system to, hard switches it off and on."""
        self._act(server_id, {"reboot": {"type": "HARD" if hard else "SOFT"}}, "reboot")

    def delete_server(self, server_id: str) -> None:
        """Ask for the end of a server. Raises `NotFound`; whether that is success is the caller's to say."""
        self._call("DELETE", f"/servers/{checked_id(server_id, 'server')}", f"delete server {server_id}")

    def list_server_actions(self, server_id: str) -> list[ServerAction]:
        """What was done to the server, newest first: how a restart that crashed learns whether it was carried out."""
        path = f"/servers/{checked_id(server_id, 'server')}/os-instance-actions"
        body = self._call("GET", path, f"read the actions of server {server_id}")
        return [ServerAction.from_json(raw) for raw in _list(body, "instanceActions")]

    def list_flavors(self) -> list[Flavor]:
        """The flavors that this project may use."""
        pages = json_pages(
            self._transport,
            _SERVICE,
            "/flavors/detail",
            "flavors",
            doing="list flavors",
            page_size=1000,
            microversion=COMPUTE_MICROVERSION,
        )
        return [Flavor.from_json(raw) for page in pages for raw in page]

    def _act(self, server_id: str, action: dict[str, Any], word: str) -> None:
        path = f"/servers/{checked_id(server_id, 'server')}/action"
        self._call("POST", path, f"{word} server {server_id}", json=action)

    def _call(
        self, method: str, path: str, doing: str, *, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        return self._transport.request(
            _SERVICE, method, path, doing=doing, json=json, params=params, microversion=COMPUTE_MICROVERSION
        )


def _server_query(changes_since: datetime | None, tag: str | None, statuses: Sequence[str]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    if changes_since is not None:
        if changes_since.tzinfo is None:
            raise InvalidRequest("changes_since must carry its time zone.")
        query["changes-since"] = changes_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if tag is not None:
        query["tags"] = checked_tag(tag)
    if statuses:
        query["status"] = [checked_name(status, "status") for status in statuses]
    return query


def _inner(body: Any, key: str) -> dict[str, Any]:
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, dict):
        raise nonsense(f"it holds no {key}")
    return found


def _list(body: Any, key: str) -> list[Any]:
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise nonsense(f"it holds no list of {key}")
    return found


def _ids_in_build(page: list[Any]) -> list[str]:
    """Of what may be anything: the page was not made into records yet."""
    return [
        raw["id"]
        for raw in page
        if isinstance(raw, dict) and raw.get("status") == "BUILD" and isinstance(raw.get("id"), str)
    ]
