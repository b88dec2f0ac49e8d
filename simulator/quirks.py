"""Quirks of other clouds that a test can enable: in listings, the catalog, and the clock.

The control API's `POST /_control/habits` sets some of them and leaves the others; `DELETE` resets all.

| name | value | effect |
|---|---|---|
| `page_limit` | 1 or more, 0 for none | pages of listings have at most this length |
| `page_links` | `true` | the service's own links |
| | `false` | no links to next pages |
| | `"elsewhere"` | links to another host |
| | `"loop"` | each link leads back to its own page |
| `ignores_marker` | `true` | every page is the first page |
| `gone_markers` | a number | this number of requests with a marker is refused with 400 |
| `date_header` | `false` | answers have no `Date` |
| `interfaces` | some of `public`, `internal`, `admin` | the catalog has only these |
| `endpoint_region` | `null` or `"absent"` | the region of the catalog's endpoints is null, or missing |
| `endpoint_path` | `"versioned"`, `"unversioned"`, `"slash"` | the form of the catalog's URLs |
| `catalog` | a list | the catalog is replaced by the list |
| `failing_deletions` | a number | this number of deletions hides the server, fails a minute later, and shows it again in ERROR |
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .http_messages import Request, Response, bad_request

_INTERFACES = ("public", "internal", "admin")


@dataclass(slots=True)
class Quirks:
    """The active quirks; the module's docstring lists them."""

    page_limit: int = 0
    page_links: bool | str = True
    ignores_marker: bool = False
    gone_markers: int = 0
    date_header: bool = True
    interfaces: tuple[str, ...] = _INTERFACES
    endpoint_region: str | None = "named"
    endpoint_path: str = "usual"
    catalog: Any = "usual"
    failing_deletions: int = 0

    def set(self, requested: dict[str, Any]) -> None:
        """Set some quirks. Raises `HttpError` 400 for an unknown name."""
        known = {quirk.name for quirk in fields(self)}
        if unknown := requested.keys() - known:
            raise bad_request(f"habits are {', '.join(sorted(known))}, and not {', '.join(sorted(unknown))}")
        for name, value in requested.items():
            setattr(self, name, tuple(value) if name == "interfaces" else value)

    @property
    def affects_listings(self) -> bool:
        """Return whether any quirk changes listings."""
        return bool(
            self.page_limit or self.page_links is not True or self.ignores_marker or self.gone_markers
        )

    def as_json(self) -> dict[str, Any]:
        """Return the quirks as the control API shows them."""
        return {quirk.name: getattr(self, quirk.name) for quirk in fields(self)}

    def rewrite_request(self, request: Request) -> Response | None:
        """Change the query of a listing; return the response of a request that is refused at once, or None."""
        query = dict(parse_qsl(request.query_text, keep_blank_values=True))
        if self.gone_markers and "marker" in query:
            self.gone_markers -= 1
            message = f"marker [{query['marker']}] not found"
            return Response(400, {"badRequest": {"code": 400, "message": message}})
        if self.ignores_marker:
            query.pop("marker", None)
        if self.page_limit:
            requested_limit = query.get("limit", "")
            query["limit"] = str(
                min(
                    int(requested_limit)
                    if requested_limit.isdecimal() and requested_limit != "0"
                    else self.page_limit,
                    self.page_limit,
                )
            )
        request.query_text = urlencode(query)
        return None

    def rewrite_response(self, request: Request, answer: Response) -> Response:
        """Change the paging links of a response."""
        if self.page_links is True or answer.status != 200:
            return answer
        try:
            body = json.loads(answer.payload() or b"null")
        except ValueError:
            return answer
        if not isinstance(body, dict):
            return answer
        links = [name for name in body if name.endswith("_links") or name == "next"]
        for name in links:
            link = body.pop(name)
            if self.page_links == "elsewhere":
                away = f"http://elsewhere.invalid/{request.path}?marker=nobody"
                body[name] = away if name == "next" else [{**link[0], "href": away}]
            elif self.page_links == "loop":
                back = f"{request.path}?{request.query_text}"
                body[name] = back if name == "next" else [{**link[0], "href": back}]
        answer.body = body
        return answer

    def rewrite_endpoint(self, endpoint: dict[str, Any], project_id: str) -> dict[str, Any]:
        """Change an endpoint of the catalog."""
        if self.endpoint_region != "named":
            endpoint["region"] = endpoint["region_id"] = None
            if self.endpoint_region == "absent":
                del endpoint["region"], endpoint["region_id"]
        url = str(endpoint["url"])
        if self.endpoint_path == "unversioned":
            url = url.removesuffix(f"/{project_id}").removesuffix("/v3").removesuffix("/v2.1")
        elif self.endpoint_path == "slash":
            url += "/"
        elif self.endpoint_path == "versioned":
            url += {"image": "/v2", "network": "/v2.0"}.get(url.rsplit("/", 1)[-1], "")
        endpoint["url"] = url
        return endpoint
