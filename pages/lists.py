"""The query of a page with a list: its search, its filters, its order and its page, all of which live in the address.

A value that does not exist is refused in words above the list, and the filter is not applied: a link with a typing error
must not look like a list without matches.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.http import HttpRequest
from django.utils.translation import gettext as _

PAGE_SIZES = (25, 50, 100)
MAX_SEARCH_LENGTH = 200
MAX_SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a list: its name in the address, its label, the text of its empty choice, and its choices as values and labels.

    The labels of `is_verbatim` are what people have typed, such as keys of tags, and are shown as they are.
    """

    name: str
    label: str
    all_label: str
    choices: Sequence[tuple[str, Any]]
    value: str = ""
    is_verbatim: bool = False

    def find_label(self, value: str) -> str | None:
        """Return the label of a value, or None if there is no such choice."""
        return next((str(label) for choice, label in self.choices if str(choice) == value), None)


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter, and the address of the list without it."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What the address of a list asks for. `refused` are messages about values that do not exist."""

    search: str = ""
    ordering: str = ""
    page_size: int = PAGE_SIZES[0]
    page_number: str = ""
    values: dict[str, str] = field(default_factory=dict)
    filters: list[Filter] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    # Parameters that are kept as they are, as the tab of a page.
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def is_filtered(self) -> bool:
        """Return whether the list is only a part of all there is."""
        return bool(self.chips)

    @property
    def encoded(self) -> str:
        """Return the search and the filters as the query of an address, as for an export of the same list."""
        return urlencode({**({"search": self.search} if self.search else {}), **self.values})

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """Return the numbers of rows that a page may have."""
        return PAGE_SIZES

    def paginate(self, rows: Any, paginator: Callable[[Any, int], Paginator[Any]] = Paginator) -> Page[Any]:
        """Return the page that is asked for; the first or the last one if there is no such page.

        `paginator` builds another paginator than Django's, as for a list that is too long to be counted.
        """
        return paginator(rows, self.page_size).get_page(self.page_number)


def read_list_query(
    request: HttpRequest,
    filters: Iterable[Filter] = (),
    *,
    orderings: Collection[str] = (),
    ordering: str = "",
    kept: Collection[str] = (),
) -> ListQuery:
    """Read the query of a list. `orderings` are the columns that it can be sorted by, and `ordering` is the default."""
    sent = request.GET
    search = _clean(sent.get("search", ""))[:MAX_SEARCH_LENGTH]
    values: dict[str, str] = {}
    chips: list[Chip] = []
    refused: list[str] = []
    known: list[Filter] = []
    if search:
        chips.append(Chip(f"“{search[:MAX_SHOWN_LENGTH]}”", _address_without(request, "search")))
    for one in filters:
        value = _clean(sent.get(one.name, ""))
        label = one.find_label(value) if value else None
        if value and label is None:
            refused.append(
                _("The filter “%(filter)s” has no value “%(value)s”; it is not applied.")
                % {"filter": one.label, "value": value[:MAX_SHOWN_LENGTH]}
            )
            value = ""
        if value:
            values[one.name] = value
            chip = _("%(filter)s: %(value)s") % {"filter": one.label, "value": label}
            chips.append(Chip(chip, _address_without(request, one.name)))
        known.append(replace(one, value=value))
    wanted = sent.get("ordering", "")
    size = sent.get("page_size", "")
    return ListQuery(
        search=search,
        ordering=wanted if wanted.lstrip("-") in orderings and not wanted.startswith("--") else ordering,
        page_size=int(size) if size in map(str, PAGE_SIZES) else PAGE_SIZES[0],
        page_number=sent.get("page", "")[:10],
        values=values,
        filters=known,
        chips=chips,
        refused=refused,
        kept={name: sent[name][:MAX_SEARCH_LENGTH] for name in kept if sent.get(name)},
    )


def _clean(text: str) -> str:
    return text.replace("\x00", "").strip()


def _address_without(request: HttpRequest, name: str) -> str:
    query = request.GET.copy()
    query.pop(name, None)
    query.pop("page", None)
    return f"?{query.urlencode()}"
