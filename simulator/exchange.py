"""A request and its answer, and the handful of refusals that every service shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from .state import Region, State, Token


@dataclass(slots=True)
class Request:
    """One HTTP request as it came off the wire. Header names are lower case."""

    method: str
    path: str
    query_text: str
    headers: dict[str, str]
    body: bytes
    arrived: float

    def json(self) -> dict[str, Any]:
        """The body as an object. Raises `Refused` 400 when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise bad_request("Malformed request body")
        return found


@dataclass(slots=True)
class Answer:
    """What goes back. A dict becomes JSON; bytes go as they are."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    # The connection ends in the middle of it.
    is_cut: bool = False

    def payload(self) -> bytes:
        """The body's bytes."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refused(Exception):
    """Ends a call with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


@dataclass(slots=True)
class Call:
    """One authenticated call of a service."""

    request: Request
    state: State
    region: Region
    token: Token
    base: str
    microversion: tuple[int, int]
    request_id: str
    # What the request log shows: the word of the action, its object, and whether the cloud did it.
    action: str | None = None
    object_id: str | None = None
    accepted: bool = False
    simultaneous: bool = False

    @property
    def now(self) -> float:
        """The cloud's time."""
        return self.state.clock.now()

    def query(self) -> list[tuple[str, str]]:
        """The query's pairs, in order."""
        return parse_qsl(self.request.query_text, keep_blank_values=True)

    def did(self, action: str, object_id: str) -> None:
        """Note that the cloud has done something."""
        self.action = action
        self.object_id = object_id
        self.accepted = True

    def need_admin(self, rule: str) -> None:
        """Refuse with Nova's words unless the token has the role admin."""
        if not self.token.is_admin:
            raise forbidden(f"Policy doesn't allow {rule} to be performed.")


def refuse(status: int, kind: str, message: str, **more: object) -> Refused:
    """A refusal in the form that Nova and Cinder use."""
    return Refused(Answer(status, {kind: {"code": status, "message": message, **more}}))


def bad_request(message: str) -> Refused:
    """400."""
    return refuse(400, "badRequest", message)


def forbidden(message: str) -> Refused:
    """403."""
    return refuse(403, "forbidden", message)


def not_found(message: str) -> Refused:
    """404."""
    return refuse(404, "itemNotFound", message)


def conflict(message: str) -> Refused:
    """409."""
    return refuse(409, "conflictingRequest", message)


def inner(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object that OpenStack's requests wrap everything in. Raises `Refused` 400."""
    found = body.get(key)
    if not isinstance(found, dict):
        raise bad_request(
            f"Invalid input for field/attribute {key}. Value: {found}. {found!r} is not of type 'object'"
        )
    return found
