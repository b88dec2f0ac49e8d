"""Metadata of servers: Nova."""

from __future__ import annotations

from collections.abc import Mapping

from .nova_requests import NovaRequests
from .validation import validate_id, validate_metadata


class ServerLabels(NovaRequests):
    """Nova's metadata (keys with values) of servers. Tags are given at the creation (`create_server`)."""

    def replace_metadata(self, server_id: str, metadata: Mapping[str, str]) -> None:
        """Replace a server's metadata: keys that are not in the new one are deleted.

        Raises `CloudNotFoundError`, `CloudQuotaExceededError` for too many keys, and `CloudConflictError` when the state of the server
        does not allow it: only one that is active, stopped, paused or suspended accepts it.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/metadata"
        payload = {"metadata": validate_metadata(metadata)}
        self._call("PUT", path, f"replace the metadata of server {server_id}", json=payload)
