"""The two ways in which services of Alibaba Cloud page their listings: by token, and by number of the page.

A listing yields all objects, or ends in an error: what it leaves out would be taken for deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from api.messages import message as _
from openstack_client import CloudUnavailableError
from openstack_client.listing_bounds import MAX_OBJECTS, MAX_PAGES

# Calls the operation with parameters, and returns its answer.
Fetch = Callable[..., dict[str, Any]]
Page = list[Any]
# A listing by number is read again when objects disappeared meanwhile, but not for ever.
MAX_PASSES = 3
# The member with the number of all objects: RDS has another name for it.
_TOTALS = ("TotalCount", "TotalRecordCount")


def read_page(answer: Mapping[str, Any], path: tuple[str, str], action: str) -> Page:
    """Return the objects of an answer: `path` names the member with the listing, and the list in it.

    Raises `CloudUnavailableError` for an answer without it, which does not mean that there are no objects.
    """
    outer, inner = path
    found = answer.get(outer)
    listed = found.get(inner, []) if isinstance(found, dict) else None
    if not isinstance(listed, list):
        sentence = _("The answer to %(action)s has no %(member)s: it does not come from Alibaba Cloud.")
        raise CloudUnavailableError(sentence % {"action": action, "member": outer})
    return listed


def list_by_token(fetch: Fetch, path: tuple[str, str], action: str, page_size: int) -> Iterator[Page]:
    """Yield the pages of a listing in which each answer has the token of the next page (`NextToken`). Raises `CloudError`.

    Objects that come or go meanwhile shift no page.
    """
    progress = _Progress(action)
    tokens: set[str] = set()
    params: dict[str, Any] = {"MaxResults": page_size}
    while True:
        answer = fetch(**params)
        page = read_page(answer, path, action)
        progress.record(page)
        yield page
        token = answer.get("NextToken")
        if not token:
            return
        if not isinstance(token, str) or token in tokens:
            raise progress.build_repetition_error()
        tokens.add(token)
        params["NextToken"] = token


def list_by_number(
    fetch: Fetch, path: tuple[str, str], action: str, page_size: int, id_member: str
) -> Iterator[Page]:
    """Yield the pages of a listing with numbers (`PageNumber`), each object once. Raises `CloudError`.

    An object that is deleted while one lists shifts the others one place forward, past the end of a page that was read. The
    total shows that, and then the listing is read again for what was passed over.
    """
    seen: set[str] = set()
    progress = _Progress(action)
    for number in range(MAX_PASSES):
        totals: list[int] = []
        progress.restart()
        for page in _list_once(fetch, path, page_size, progress, totals):
            yield _take_new(page, id_member, seen, is_first_pass=number == 0)
        if totals == sorted(totals):
            return


def _list_once(
    fetch: Fetch, path: tuple[str, str], page_size: int, progress: _Progress, totals: list[int]
) -> Iterator[Page]:
    """Yield the pages from the first to the last, and append the total that each of them names."""
    received = 0
    number = 0
    while True:
        number += 1
        answer = fetch(PageNumber=number, PageSize=page_size)
        page = read_page(answer, path, progress.action)
        progress.record(page)
        received += len(page)
        total = next(
            (count for name in _TOTALS if (count := read_number(answer.get(name))) is not None), None
        )
        if total is not None:
            totals.append(total)
        if page:
            yield page
        if not page or (total is not None and received >= total):
            break
    # A page that is shorter than requested is not the last one: the service may allow less.
    if totals and received < min(totals):
        sentence = _("The listing of %(action)s ended after %(received)s of %(total)s objects.")
        raise CloudUnavailableError(
            sentence % {"action": progress.action, "received": received, "total": min(totals)}
        )


def _take_new(page: Page, id_member: str, seen: set[str], *, is_first_pass: bool) -> Page:
    """Return the objects of a page that no page before had. One without an id is taken in the first pass."""
    taken = []
    for found in page:
        cloud_id = found.get(id_member) if isinstance(found, dict) else None
        if not isinstance(cloud_id, str) or not cloud_id:
            if is_first_pass:
                taken.append(found)
        elif cloud_id not in seen:
            seen.add(cloud_id)
            taken.append(found)
    return taken


def read_number(value: Any) -> int | None:
    """Return a whole number, which some services send as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None


class _Progress:
    """Counts the pages and objects of a listing, and recognises a page that comes again."""

    def __init__(self, action: str) -> None:
        self.action = action
        self._pages = 0
        self._objects = 0
        self._last: Page = []

    def restart(self) -> None:
        """Expect the first page, which may be the one that was read last."""
        self._last = []

    def record(self, page: Page) -> None:
        """Count a page. Raises `CloudUnavailableError` when it is the one before, or exceeds a bound."""
        if page and page == self._last:
            raise self.build_repetition_error()
        self._last = page
        self._pages += 1
        self._objects += len(page)
        if self._pages > MAX_PAGES or self._objects > MAX_OBJECTS:
            sentence = _("The listing of %(action)s has more than %(pages)s pages or %(objects)s objects.")
            raise CloudUnavailableError(
                sentence % {"action": self.action, "pages": MAX_PAGES, "objects": MAX_OBJECTS}
            )

    def build_repetition_error(self) -> CloudUnavailableError:
        """Return the error of a listing whose pages lead back to themselves."""
        sentence = _("The listing of %(action)s does not end: the same page came again.")
        return CloudUnavailableError(sentence % {"action": self.action})
