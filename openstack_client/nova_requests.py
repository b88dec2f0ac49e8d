"""Requests to Nova in one microversion, and the unwrapping of its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import CloudConflictError, CloudServerLockedError
from .translation import malformed_answer
from .transport import Transport
from .validation import validate_id

# One version for every call: 2.52 accepts tags in a create, 2.47 embeds the flavor, 2.58 dates actions, 2.45 returns the
# image's id from createImage, and since 2.69 a server in a cell that is down is listed as UNKNOWN instead of being
# left out, which would look like a loss. Every cloud since Stein (2019) supports it.
COMPUTE_MICROVERSION = "2.69"
SERVICE = "compute"
_LOCKED = re.compile(r"\bInstance \S+ is locked\b")


class NovaRequests:
    """The base class of the groups of Nova's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _request_action(
        self,
        server_id: str,
        action: dict[str, Any],
        doing: str,
        *,
        microversion: str = COMPUTE_MICROVERSION,
        secrets: tuple[str, ...] = (),
    ) -> Any:
        """Request an action on a server. `doing` completes "Could not ..."."""
        path = f"/servers/{validate_id(server_id, 'server')}/action"
        return self._call("POST", path, doing, json=action, microversion=microversion, secrets=secrets)

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        microversion: str = COMPUTE_MICROVERSION,
        secrets: tuple[str, ...] = (),
    ) -> Any:
        try:
            return self._transport.request(
                SERVICE,
                method,
                path,
                doing=doing,
                json=json,
                params=params,
                microversion=microversion,
                secrets=secrets,
            )
        except CloudConflictError as conflict:
            refused = conflict
        # A conflict of an administrator's lock has the same status as one of a state; only the message differs.
        if not _LOCKED.search(refused.message):
            raise refused
        raise CloudServerLockedError(
            f"{refused.message.rstrip('.')}. It must be unlocked in the cloud first.",
            status_code=refused.status_code,
            request_id=refused.request_id,
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
