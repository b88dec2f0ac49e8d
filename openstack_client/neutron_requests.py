"""Requests to Neutron, and the reading of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from .errors import CloudNotFoundError
from .markers import validate_marker
from .paging import RecordPage, json_pages, read_records
from .translation import malformed_answer
from .transport import Transport

SERVICE = "network"
PAGE_SIZE = 500

Record = TypeVar("Record")


class NeutronRequests:
    """The base class of the groups of Neutron's calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _call(
        self, method: str, path: str, doing: str, *, json: Any = None, revision: int | None = None
    ) -> Any:
        """Send a request. `doing` completes "Could not ...".

        With a `revision`, Neutron refuses the change of an object that has another one by now: `CloudChangedError`.
        """
        headers = {} if revision is None else {"If-Match": f"revision_number={revision}"}
        return self._transport.request(SERVICE, method, path, doing=doing, json=json, headers=headers)

    def _delete(self, path: str, doing: str) -> None:
        """Delete an object; one that is gone already is a success."""
        try:
            self._call("DELETE", path, doing)
        except CloudNotFoundError:
            return

    def _pages(
        self,
        path: str,
        key: str,
        from_json: Callable[[Any], Record],
        page_size: int = PAGE_SIZE,
        params: Mapping[str, str] | None = None,
    ) -> Iterator[RecordPage[Record]]:
        doing = f"list {path.removeprefix('/').replace('-', ' ')}"
        for page in json_pages(
            self._transport, SERVICE, path, key, doing=doing, page_size=page_size, params=params
        ):
            yield read_records(page, from_json)

    def _find(
        self,
        path: str,
        key: str,
        from_json: Callable[[Any], Record],
        params: Mapping[str, str],
        is_wanted: Callable[[Record], bool],
    ) -> list[Record]:
        """List the project's own objects that match. Raises `UnreadableRecordError` for one that cannot be read.

        Neutron ignores filters of extensions that it does not have, so the answer is filtered again.
        """
        query = {"project_id": self._transport.project_id, **params}
        doing = f"search {path.removeprefix('/').replace('-', ' ')}"
        pages = json_pages(
            self._transport, SERVICE, path, key, doing=doing, page_size=PAGE_SIZE, params=query
        )
        found = [from_json(raw) for page in pages for raw in page]
        return [record for record in found if is_wanted(record)]

    def _find_by_marker(
        self, path: str, key: str, from_json: Callable[[Any], Record], marker: str
    ) -> list[Record]:
        wanted = validate_marker(marker)
        return self._find(path, key, from_json, {}, lambda record: getattr(record, "marker", None) == wanted)


def read_object(body: Any, key: str, from_json: Callable[[Any], Record]) -> Record:
    """Return the record of the object that Neutron wraps in `key`. Raises `CloudUnavailableError` when it is missing."""
    if not isinstance(body, dict) or not isinstance(body.get(key), dict):
        raise malformed_answer(f"it holds no {key}")
    return from_json(body[key])
