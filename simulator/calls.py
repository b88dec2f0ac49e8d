"""A call of a service: a request whose token, region and microversion are known."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from .http_messages import Request, forbidden
from .state import Region, State, Token


@dataclass(slots=True)
class Call:
    """An authenticated call of a service."""

    request: Request
    state: State
    region: Region
    token: Token
    base: str
    microversion: tuple[int, int]
    request_id: str
    # Shown by the request log: the action, its object, and whether the cloud accepted it.
    action: str | None = None
    object_id: str | None = None
    accepted: bool = False
    is_concurrent: bool = False

    @property
    def now(self) -> float:
        """Return the cloud's time in seconds since 1970."""
        return self.state.clock.now()

    def query(self) -> list[tuple[str, str]]:
        """Return the query's pairs in order."""
        return parse_qsl(self.request.query_text, keep_blank_values=True)

    def record_accepted(self, action: str, object_id: str) -> None:
        """Record for the request log that the cloud accepted the action."""
        self.action = action
        self.object_id = object_id
        self.accepted = True

    def require_admin(self, rule: str) -> None:
        """Raise `HttpError` 403 in Nova's words unless the token has the role admin."""
        if not self.token.is_admin:
            raise forbidden(f"Policy doesn't allow {rule} to be performed.")
