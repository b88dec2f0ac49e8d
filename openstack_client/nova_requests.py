"""Requests to Nova in one microversion, and the unwrapping of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .translation import malformed_answer
from .transport import Transport
from .validation import validate_id

# One version for every call: 2.52 accepts tags in a create, 2.47 embeds the flavor, 2.58 dates actions, 2.45 returns the
# image's id from createImage, and since 2.69 a server in a cell that is down is listed as UNKNOWN instead of being
# left out, which would look like a loss. Every cloud since Stein (2019) supports it.
COMPUTE_MICROVERSION = "2.69"
SERVICE = "compute"


class NovaRequests:
    """The base class of the groups of Nova's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _request_action(self, server_id: str, action: dict[str, Any], doing: str) -> Any:
        """Request an action on a server. `doing` completes "Could not ..."."""
        path = f"/servers/{validate_id(server_id, 'server')}/action"
        return self._call("POST", path, doing, json=action)

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        microversion: str = COMPUTE_MICROVERSION,
    ) -> Any:
        return self._transport.request(
            SERVICE, method, path, doing=doing, json=json, params=params, microversion=microversion
        )


def unwrap_object(body: Any, key: str) -> dict[str, Any]:
    """Return the object that Nova wraps in `key`. Raises `CloudUnavailableError` when it is missing."""
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, dict):
        raise malformed_answer(f"it holds no {key}")
    return found


def unwrap_list(body: Any, key: str) -> list[Any]:
    """Return the list that Nova wraps in `key`. Raises `CloudUnavailableError` when it is missing."""
    found = body.get(key) if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise malformed_answer(f"it holds no list of {key}")
    return found
