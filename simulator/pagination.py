"""Pages of listings: `limit`, `marker` and the link to the next page."""

from __future__ import annotations

import re

from .calls import Call
from .http_messages import Response, bad_request
from .state import Resource

_MAX_PAGE = 1000
_GLANCE_PAGE = 25


def serialize(resource: Resource) -> Resource:
    """Return the resource without internal fields, and with its raw values in place of the real ones."""
    found = {key: value for key, value in resource.items() if not key.startswith("_")}
    if "_raw" in resource:
        found.update(resource["_raw"])
    return found


def parse_count(name: str, value: str) -> int:
    """Return a number of a query, 0 for an empty one. Raises `HttpError` 400 in the words of Nova's schemas."""
    if not re.fullmatch("[0-9]*", value):
        raise bad_request(
            f"Invalid input for query parameters {name}. Value: {value}. '{value}' does not match '^[0-9]*$'"
        )
    return int(value or 0)


def paginate(
    call: Call,
    key: str,
    resources: list[Resource],
    *,
    path: str | None = None,
    glance: bool = False,
    links: str | None = None,
) -> Response:
    """Return one page of `resources`, which are in their final order. Without a limit the service's default applies."""
    query = dict(call.query())
    try:
        limit = min(int(query.get("limit") or (_GLANCE_PAGE if glance else _MAX_PAGE)), _MAX_PAGE)
    except ValueError:
        raise bad_request("limit param must be an integer") from None
    if limit < 0:
        raise bad_request("limit param must be positive")
    start = 0
    if marker := query.get("marker"):
        try:
            start = [resource["id"] for resource in resources].index(marker) + 1
        except ValueError:
            raise bad_request(f"marker [{marker}] not found") from None
    page = resources[start : start + limit]
    body: Resource = {key: [serialize(resource) for resource in page]}
    more = start + limit < len(resources) if glance else len(page) == limit
    if page and more:
        kept = "".join(f"{name}={value}&" for name, value in call.query() if name != "marker")
        suffix = f"?{kept}marker={page[-1]['id']}"
        if glance:
            body["next"] = f"/v2/{key}{suffix}"
        else:
            body[links or f"{key}_links"] = [{"rel": "next", "href": f"{call.base}/{path or key}{suffix}"}]
    if glance:
        body.update({"first": f"/v2/{key}", "schema": f"/v2/schemas/{key}"})
    return Response(200, body)
