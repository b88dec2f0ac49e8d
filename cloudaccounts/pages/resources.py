"""The list of what was found in the accounts."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET
from rest_framework.filters import search_smart_split

from tenants.scoped_pages import PageRequest, page_scope

from ..filters import SEARCHED, CloudResourceFilter
from ..models import CloudAccount, CloudResource, ResourceType
from ..registry import type_label
from ..serializers import CloudResourceSerializer
from .accounts import build_stale_banner

PAGE_SIZE = 50
SEARCH_WORDS = 10
FILTERS = ("account", "type", "region", "status", "expired")
# The columns that one may order by, and what they are called.
SORTED: dict[str, str | Promise] = {"type": _("Type"), "name": _("Name"), "last_seen_at": _("Last seen")}


@login_required
@require_GET
def resource_page(request: PageRequest) -> HttpResponse:
    """The list, with the filters that the REST list and its export have too; what has expired is shown when asked for."""
    scope = page_scope(request)
    resources = CloudResource.objects.within(scope)
    wish, found = apply_filters(request, CloudResourceFilter, resources, FILTERS, {"expired": "false"})
    if wish["expired"] not in {"true", "false"}:
        wish["expired"] = ""
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    ordering = request.GET.get("ordering", "")
    wish["search"], wish["ordering"] = search, ordering if ordering.removeprefix("-") in SORTED else ""
    page = Paginator(_ordered(_matching(found, search), wish["ordering"]), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    rows = page.object_list.select_related("account")  # type: ignore[attr-defined] # a queryset's page is one.
    kinds = ResourceType.objects.order_by("order", "code")
    context = {
        "scope": scope,
        "page": page,
        "resources": CloudResourceSerializer(rows, many=True).data,
        "wish": wish,
        "query": _query(wish),
        "columns": {name: _column(name, wish) for name in SORTED},
        "accounts": CloudAccount.objects.within(scope).order_by("name", "pk"),
        # Once, although two providers may have a type of the same code.
        "types": {kind.code: type_label(kind.provider, kind.code) for kind in kinds},
        **_places(resources),
        **build_stale_banner(scope),
    }
    return render(request, "cloudaccounts/resources.html", context)


def apply_filters(
    request: PageRequest, filters: Any, rows: QuerySet[Any], names: tuple[str, ...], starts: dict[str, str]
) -> tuple[dict[str, str], QuerySet[Any]]:
    """The filters that were set, and the rows that they let through: those of the REST list. Nonsense is left out."""
    wish = {name: request.GET.get(name, starts.get(name, "")) for name in names}
    chosen = filters(wish, queryset=rows)
    chosen.form.is_valid()
    return {
        name: value if name in chosen.form.cleaned_data else "" for name, value in wish.items()
    }, chosen.qs


def _query(wish: dict[str, str]) -> str:
    """As the address has it. That nothing is asked of `expired` has to be said, since the page begins otherwise."""
    return urlencode({name: value for name, value in wish.items() if value or name == "expired"})


def _matching(resources: QuerySet[Any], search: str) -> QuerySet[Any]:
    """Those that have every word of a search in one of the columns that the REST list searches."""
    words = search_smart_split(search)  # type: ignore[arg-type] # its stub is wrong.
    for word in list(words)[:SEARCH_WORDS]:
        found = Q()
        for column in SEARCHED:
            found |= Q(**{f"{column}__icontains": word})
        resources = resources.filter(found)
    return resources


def _ordered(resources: QuerySet[Any], ordering: str) -> QuerySet[Any]:
    if not ordering:
        return resources.order_by("type", "name", "pk")
    return resources.order_by(ordering, "-pk" if ordering.startswith("-") else "pk")


def _column(name: str, wish: dict[str, str]) -> dict[str, str]:
    """The head of a column that one may order by: where a click leads, and how it is ordered now."""
    now = {name: "ascending", f"-{name}": "descending"}.get(wish["ordering"], "")
    turned = f"-{name}" if now == "ascending" else name
    return {"label": str(SORTED[name]), "sort": now, "query": _query({**wish, "ordering": turned})}


def _places(resources: QuerySet[Any]) -> dict[str, list[str]]:
    """The regions and the statuses that there are, to choose from: one query."""
    pairs = list(resources.order_by().values_list("region", "status").distinct())
    return {
        "regions": sorted({region for region, _status in pairs if region}),
        "statuses": sorted({status for _region, status in pairs if status}),
    }
