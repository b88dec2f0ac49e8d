"""Listings of plain objects: `limit`, `marker` and the link to the next page."""

from __future__ import annotations

from .exchange import Answer, Call, bad_request
from .state import Thing

_MAX_PAGE = 1000
_GLANCE_PAGE = 25


def shown(thing: Thing) -> Thing:
    """Without what is ours alone, and with what a test wants to be shown instead of the truth."""
    found = {key: value for key, value in thing.items() if not key.startswith("_")}
    if "_raw" in thing:
        found.update(thing["_raw"])
    return found


def paged(
    call: Call,
    key: str,
    things: list[Thing],
    *,
    path: str | None = None,
    glance: bool = False,
    links: str | None = None,
) -> Answer:
    """One page of `things`, which are in their final order. Who does not say how much gets what the service likes."""
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
            start = [thing["id"] for thing in things].index(marker) + 1
        except ValueError:
            raise bad_request(f"marker [{marker}] not found") from None
    page = things[start : start + limit]
    body: Thing = {key: [shown(thing) for thing in page]}
    more = start + limit < len(things) if glance else len(page) == limit
    if page and more:
        kept = "".join(f"{name}={value}&" for name, value in call.query() if name != "marker")
        where = f"?{kept}marker={page[-1]['id']}"
        if glance:
            body["next"] = f"/v2/{key}{where}"
        else:
            body[links or f"{key}_links"] = [{"rel": "next", "href": f"{call.base}/{path or key}{where}"}]
    if glance:
        body.update({"first": f"/v2/{key}", "schema": f"/v2/schemas/{key}"})
    return Answer(200, body)
