"""Server groups, which decide on the hosts of their members: Nova."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import CloudNotFoundError
from .listing_bounds import bounded_listing
from .nova_requests import COMPUTE_MICROVERSION, SERVICE, NovaRequests, unwrap_list, unwrap_object
from .paging import RecordPage, join_pages, read_records
from .records import ServerGroup
from .records.json_values import is_id
from .transport import Transport
from .validation import validate_id, validate_name, validate_policy

_PATH = "/os-server-groups"
# Nova pages this listing by number, not by marker, and shows at most 1000 at once.
_PAGE_SIZE = 1000


class ServerGroups(NovaRequests):
    """Nova's server groups. A server joins one at its creation and leaves it at its deletion; the group cannot be changed."""

    def list_server_groups(self) -> RecordPage[ServerGroup]:
        """List the project's server groups. One that is created or deleted meanwhile may be missing or listed twice."""
        return join_pages(
            read_records(page, ServerGroup.from_json)
            for page in _group_pages(self._transport, SERVICE, _PATH)
        )

    def find_server_groups(self, name: str) -> list[ServerGroup]:
        """List the server groups of this name, which is not unique: an earlier attempt to create one may have left them.

        Raises `UnreadableRecordError` when one of them cannot be read, because it must not count as absent.
        """
        validate_name(name, "server group")
        return [
            ServerGroup.from_json(raw)
            for page in _group_pages(self._transport, SERVICE, _PATH)
            for raw in page
            if _is_named(raw, name)
        ]

    def get_server_group(self, group_id: str) -> ServerGroup:
        """Get one server group with its members. Raises `CloudNotFoundError`."""
        path = f"/os-server-groups/{validate_id(group_id, 'server group')}"
        return ServerGroup.from_json(
            unwrap_object(self._call("GET", path, f"read server group {group_id}"), "server_group")
        )

    def create_server_group(self, name: str, policy: str) -> ServerGroup:
        """Create a server group. Not safe to repeat: look for its name first.

        `policy` is one of `validation.SERVER_GROUP_POLICIES`; "soft" ones are kept only where there are hosts enough.
        Raises `CloudQuotaExceededError`.
        """
        payload = {"name": validate_name(name, "server group"), "policy": validate_policy(policy)}
        doing = f"create server group {name}"
        body = self._call("POST", _PATH, doing, json={"server_group": payload})
        return ServerGroup.from_json(unwrap_object(body, "server_group"))

    def delete_server_group(self, group_id: str) -> None:
        """Delete a server group, with members or without; one that does not exist is no error. Its servers stay where they are."""
        path = f"{_PATH}/{validate_id(group_id, 'server group')}"
        try:
            self._call("DELETE", path, f"delete server group {group_id}")
        except CloudNotFoundError:
            return


@bounded_listing
def _group_pages(transport: Transport, service: str, path: str) -> Iterator[list[Any]]:
    """Yield the pages until one has nothing new: a cloud may return fewer than are requested. Each group is yielded once."""
    offset = 0
    seen: set[Any] = set()
    while True:
        params = {"limit": _PAGE_SIZE, "offset": offset}
        body = transport.request(
            service, "GET", path, doing="list server groups", params=params, microversion=COMPUTE_MICROVERSION
        )
        page = unwrap_list(body, "server_groups")
        ids = [raw.get("id") if isinstance(raw, dict) else None for raw in page]
        fresh = [raw for raw, found in zip(page, ids, strict=True) if not is_id(found) or found not in seen]
        if not fresh:
            # Also where the service ignores the offset and returns the same page again.
            return
        yield fresh
        seen.update(found for found in ids if is_id(found))
        offset += len(page)


def _is_named(raw: Any, name: str) -> bool:
    return isinstance(raw, dict) and raw.get("name") == name
