"""The route table of a service."""

from __future__ import annotations

from collections.abc import Callable

from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from .calls import Call
from .http_messages import Response, not_found, service_error

Handler = Callable[..., Response]


class Routes:
    """A service's routes. `<id>` stands for one path segment."""

    def __init__(self, table: list[tuple[str, str, Handler]]) -> None:
        rules = [Rule(path, methods=[method], endpoint=function) for method, path, function in table]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False).bind("localhost")

    def dispatch(self, call: Call, path: str) -> Response:
        """Call the handler of the path. Raises `HttpError` 404 or 405."""
        try:
            handler, parts = self._map.match(path, method=call.request.method)
        except NotFound:
            raise not_found("The resource could not be found.") from None
        except MethodNotAllowed:
            raise service_error(405, "badMethod", "The method is not allowed for this resource.") from None
        found: Response = handler(call, **parts)
        return found
