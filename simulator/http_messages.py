"""HTTP requests, responses and the errors that all services share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Request:
    """An HTTP request as received. Header names are lower case."""

    method: str
    path: str
    query_text: str
    headers: dict[str, str]
    body: bytes
    arrived: float

    def json(self) -> dict[str, Any]:
        """Parse the body. Raises `HttpError` 400 unless it is a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise bad_request("Malformed request body")
        return found


@dataclass(slots=True)
class Response:
    """An HTTP response. A dict is sent as JSON; bytes are sent as they are."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    # The connection is closed in the middle of the body.
    is_truncated: bool = False

    def payload(self) -> bytes:
        """Return the body's bytes."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class HttpError(Exception):
    """An error response, raised to end the call."""

    def __init__(self, answer: Response) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


def service_error(status: int, kind: str, message: str, **more: object) -> HttpError:
    """Return an error in the form of Nova and Cinder."""
    return HttpError(Response(status, {kind: {"code": status, "message": message, **more}}))


def bad_request(message: str) -> HttpError:
    """Return a 400 error."""
    return service_error(400, "badRequest", message)


def forbidden(message: str) -> HttpError:
    """Return a 403 error."""
    return service_error(403, "forbidden", message)


def not_found(message: str) -> HttpError:
    """Return a 404 error."""
    return service_error(404, "itemNotFound", message)


def conflict(message: str) -> HttpError:
    """Return a 409 error."""
    return service_error(409, "conflictingRequest", message)


def unwrap(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object inside the envelope of OpenStack's request bodies. Raises `HttpError` 400."""
    found = body.get(key)
    if not isinstance(found, dict):
        raise bad_request(
            f"Invalid input for field/attribute {key}. Value: {found}. {found!r} is not of type 'object'"
        )
    return found
