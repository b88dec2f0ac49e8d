"""Tags and metadata of servers: Nova."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from .errors import CloudNotFoundError
from .nova_requests import NovaRequests, unwrap_list, unwrap_object
from .records.json_values import mapping, texts
from .validation import validate_id, validate_metadata, validate_name, validate_tag, validate_tags


class ServerLabels(NovaRequests):
    """Nova's tags (words) and metadata (keys with values) of servers.

    Every change raises `CloudNotFoundError` for the server, and `CloudConflictError` when its state does not allow it: only a server that
    is active, stopped, paused or suspended accepts it. Nova adds and removes tags one by one, or replaces all of them.
    """

    def list_tags(self, server_id: str) -> tuple[str, ...]:
        """List a server's tags."""
        path = f"/servers/{validate_id(server_id, 'server')}/tags"
        return texts(unwrap_list(self._call("GET", path, f"list the tags of server {server_id}"), "tags"))

    def replace_tags(self, server_id: str, tags: Sequence[str]) -> None:
        """Replace a server's tags by 1 to 50 others, in one request."""
        path = f"/servers/{validate_id(server_id, 'server')}/tags"
        payload = {"tags": validate_tags(tags)}
        self._call("PUT", path, f"replace the tags of server {server_id}", json=payload)

    def add_tag(self, server_id: str, tag: str) -> None:
        """Add a tag beside the others. Safe to repeat. Raises `InvalidCloudRequestError` when the server has 50 tags."""
        path = f"/servers/{validate_id(server_id, 'server')}/tags/{quote(validate_tag(tag), safe='')}"
        self._call("PUT", path, f"add a tag to server {server_id}")

    def remove_tag(self, server_id: str, tag: str) -> None:
        """Remove a tag. Safe to repeat: one that the server does not have is no error."""
        path = f"/servers/{validate_id(server_id, 'server')}/tags/{quote(validate_tag(tag), safe='')}"
        try:
            self._call("DELETE", path, f"remove a tag of server {server_id}")
        except CloudNotFoundError:
            # Of the server, or of the tag: this raises for the server.
            self.list_tags(server_id)

    def get_metadata(self, server_id: str) -> Mapping[str, str]:
        """Return a server's metadata."""
        path = f"/servers/{validate_id(server_id, 'server')}/metadata"
        return mapping(
            unwrap_object(self._call("GET", path, f"read the metadata of server {server_id}"), "metadata")
        )

    def replace_metadata(self, server_id: str, metadata: Mapping[str, str]) -> None:
        """Replace a server's metadata: keys that are not in the new one are deleted.

        Raises `CloudQuotaExceededError` for too many keys.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/metadata"
        payload = {"metadata": validate_metadata(metadata)}
        self._call("PUT", path, f"replace the metadata of server {server_id}", json=payload)

    def update_metadata(self, server_id: str, metadata: Mapping[str, str]) -> None:
        """Set some keys of a server's metadata, and leave the others. Raises `CloudQuotaExceededError` for too many keys."""
        path = f"/servers/{validate_id(server_id, 'server')}/metadata"
        payload = {"metadata": validate_metadata(metadata)}
        self._call("POST", path, f"change the metadata of server {server_id}", json=payload)

    def remove_metadata(self, server_id: str, key: str) -> None:
        """Remove one key of a server's metadata. Safe to repeat: one that the server does not have is no error."""
        name = quote(validate_name(key, "metadata key"), safe="")
        path = f"/servers/{validate_id(server_id, 'server')}/metadata/{name}"
        try:
            self._call("DELETE", path, f"remove a key of the metadata of server {server_id}")
        except CloudNotFoundError:
            self.get_metadata(server_id)
