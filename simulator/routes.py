"""Which function answers which path of a service."""

from __future__ import annotations

from collections.abc import Callable

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from .exchange import Answer, Call, not_found, refuse

Handler = Callable[..., Answer]


class Routes:
    """One service's paths. `<id>` stands for one part of a path."""

    def __init__(self, table: list[tuple[str, str, Handler]]) -> None:
        rules = [Rule(path, methods=[method], endpoint=function) for method, path, function in table]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False).bind("localhost")

    def answer(self, call: Call, path: str) -> Answer:
        """Find the function and call it. Raises `Refused` 404 or 405."""
        try:
            handler, parts = self._map.match(path, method=call.request.method)
        except NotFound:
            raise not_found("The resource could not be found.") from None
        except MethodNotAllowed:
            raise refuse(405, "badMethod", "The method is not allowed for this resource.") from None
        found: Answer = handler(call, **parts)
        return found
