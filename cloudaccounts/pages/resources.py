"""The page of the resources in the cloud accounts."""

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

from ..filters import SEARCH_FIELDS, CloudResourceFilter
from ..models import CloudAccount, CloudResource, ResourceType
from ..registry import type_label
from ..serializers import CloudResourceSerializer
from .accounts import build_stale_banner

PAGE_SIZE = 50
MAX_SEARCH_TERMS = 10
FILTERS = ("account", "type", "region", "status", "expired")
# The columns that the table can be ordered by, with their labels.
SORT_COLUMNS: dict[str, str | Promise] = {
    "type": _("Type"),
    "name": _("Name"),
    "last_seen_at": _("Last seen"),
}


@login_required
@require_GET
def resource_page(request: PageRequest) -> HttpResponse:
    """Show the resources, with the filters of the API's list; expired ones are left out by default."""
    scope = page_scope(request)
    resources = CloudResource.objects.within(scope)
    params, found = apply_filters(request, CloudResourceFilter, resources, FILTERS, {"expired": "false"})
    if params["expired"] not in {"true", "false"}:
        params["expired"] = ""
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    ordering = request.GET.get("ordering", "")
    params["search"], params["ordering"] = (
        search,
        ordering if ordering.removeprefix("-") in SORT_COLUMNS else "",
    )
    page = Paginator(_order(_search(found, search), params["ordering"]), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    rows = page.object_list.select_related("account")  # type: ignore[attr-defined] # a queryset's page is one.
    kinds = ResourceType.objects.order_by("order", "code")
    context = {
        "scope": scope,
        "page": page,
        "resources": CloudResourceSerializer(rows, many=True).data,
        "params": params,
        "query": _build_query(params),
        "columns": {name: _build_sort_column(name, params) for name in SORT_COLUMNS},
        "accounts": CloudAccount.objects.within(scope).order_by("name", "pk"),
        # By code: two providers may have a type of the same code.
        "types": {kind.code: type_label(kind.provider, kind.code) for kind in kinds},
        **_list_choices(resources),
        **build_stale_banner(scope),
    }
    return render(request, "cloudaccounts/resources.html", context)


def apply_filters(
    request: PageRequest,
    filter_class: Any,
    queryset: QuerySet[Any],
    names: tuple[str, ...],
    defaults: dict[str, str],
) -> tuple[dict[str, str], QuerySet[Any]]:
    """Filter a queryset as the API's list does; return the valid parameters and the result. Invalid ones are ignored."""
    params = {name: request.GET.get(name, defaults.get(name, "")) for name in names}
    filters = filter_class(params, queryset=queryset)
    filters.form.is_valid()
    return {
        name: value if name in filters.form.cleaned_data else "" for name, value in params.items()
    }, filters.qs


def _build_query(params: dict[str, str]) -> str:
    """Build the query string of some parameters. An empty `expired` is kept, because it differs from the default."""
    return urlencode({name: value for name, value in params.items() if value or name == "expired"})


def _search(resources: QuerySet[Any], search: str) -> QuerySet[Any]:
    """Search resources as the API's list does: each term must be in one of the columns."""
    terms = search_smart_split(search)  # type: ignore[arg-type] # its stub is wrong.
    for term in list(terms)[:MAX_SEARCH_TERMS]:
        found = Q()
        for column in SEARCH_FIELDS:
            found |= Q(**{f"{column}__icontains": term})
        resources = resources.filter(found)
    return resources


def _order(resources: QuerySet[Any], ordering: str) -> QuerySet[Any]:
    if not ordering:
        return resources.order_by("type", "name", "pk")
    return resources.order_by(ordering, "-pk" if ordering.startswith("-") else "pk")


def _build_sort_column(name: str, params: dict[str, str]) -> dict[str, str]:
    """Describe a column head: its label, its present order for `aria-sort`, and the query string that a click leads to."""
    direction = {name: "ascending", f"-{name}": "descending"}.get(params["ordering"], "")
    next_ordering = f"-{name}" if direction == "ascending" else name
    return {
        "label": str(SORT_COLUMNS[name]),
        "sort": direction,
        "query": _build_query({**params, "ordering": next_ordering}),
    }


def _list_choices(resources: QuerySet[Any]) -> dict[str, list[str]]:
    """List the regions and the statuses of some resources, as choices of filters: one query."""
    pairs = list(resources.order_by().values_list("region", "status").distinct())
    return {
        "regions": sorted({region for region, _status in pairs if region}),
        "statuses": sorted({status for _region, status in pairs if status}),
    }
