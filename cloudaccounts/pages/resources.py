"""The page of the cloud inventory: all resources in the cloud accounts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import is_panel_request, render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..filters import search_resources
from ..models import CloudAccount, CloudResource, ResourceState, ResourceType
from ..registry import type_label
from ..serializers import CloudResourceSerializer
from .accounts import build_stale_banner
from .resource_labels import label_status, list_status_labels

MAX_CLOUD_ID_LENGTH = 255
# By type, and within a type by name, as the API's list.
DEFAULT_ORDERING = "type"
# The choices of the filter of prepaid resources.
ENDS_WITHIN_DAYS = (7, 30, 90)
ORDERINGS = frozenset({"type", "name", "last_seen_at"})
declare_table(
    "resources",
    [
        ("type", gettext_lazy("Resource type")),
        ("status", gettext_lazy("Status")),
        ("addresses", gettext_lazy("IP addresses")),
        ("account", gettext_lazy("Cloud account")),
        ("region", gettext_lazy("Region")),
        ("last_seen_at", gettext_lazy("Last seen")),
    ],
)


@login_required
@require_GET
@reads_list
def resource_page(request: PageRequest) -> HttpResponse:
    """Show the resources, with the filters of the API's list; deleted ones are left out by default."""
    scope = page_scope(request)
    resources = CloudResource.objects.within(scope)
    query = read_list_query(
        request, _build_filters(request, scope, resources), orderings=ORDERINGS, ordering=DEFAULT_ORDERING
    )
    found = _order(search_resources(_filter(resources, query), query.search), query.ordering)
    page = query.paginate(found.select_related("account"))
    rows: Any = CloudResourceSerializer(list(page.object_list), many=True).data
    for row in rows:
        row["status_display"] = label_status(row["status"], row["type"])
    context = {
        "scope": scope,
        "page": page,
        "resources": rows,
        "query": query,
        "ordering": query.ordering,
        "export_query": _encode_export_query(query),
    }
    if not is_panel_request(request):
        context |= build_stale_banner(scope)
    return render_page(
        request,
        "cloudaccounts/resources.html",
        context,
        panels={"resources": "cloudaccounts/resources_table.html"},
    )


@login_required
@require_GET
def resource_by_cloud_id_page(request: PageRequest, account_id: int, cloud_id: str) -> HttpResponse:
    """Redirect to the page of a resource that is named by its account and its id in the cloud, as from a VM's page.

    `?type=` names its type; without it, a server comes first. A resource that is not synced yet leads to the inventory.
    """
    scope = page_scope(request)
    account = get_object_or_404(CloudAccount.objects.within(scope), pk=account_id)
    cloud_id = cloud_id[:MAX_CLOUD_ID_LENGTH].replace("\x00", "")
    found = CloudResource.objects.within(scope).filter(account=account, cloud_id=cloud_id)
    if type_code := request.GET.get("type", "").replace("\x00", ""):
        found = found.filter(type=type_code)
    candidates = list(found.order_by("-last_seen_at", "pk").values_list("pk", "type", "expired_at")[:20])
    if not candidates:
        messages.info(
            request,
            _("%(id)s is not in the inventory: it is not synced yet, or you cannot see it.")
            % {"id": cloud_id},
        )
        return redirect(f"{reverse('resource-page')}?{urlencode({'account': account.pk})}")
    pk, _type, _expired_at = min(candidates, key=lambda one: (one[2] is not None, one[1] != "server"))
    return redirect("resource-detail-page", pk)


def list_type_choices() -> list[tuple[str, str]]:
    """Return the resource types as choices, by code: two providers may have a type of the same code."""
    kinds = ResourceType.objects.order_by("order", "code")
    return list({kind.code: capfirst(type_label(kind.provider, kind.code)) for kind in kinds}.items())


def _build_filters(request: PageRequest, scope: Scope, resources: QuerySet[CloudResource]) -> list[Filter]:
    accounts = CloudAccount.objects.within(scope).order_by("name", "pk")
    # Both lists of choices with one query over all resources, which a panel without these filters does not need.
    needs_choices = not is_panel_request(request) or request.GET.keys() & {"region", "status"}
    pairs = list(resources.order_by().values_list("region", "status").distinct()) if needs_choices else []
    regions = sorted({region for region, _status in pairs if region})
    statuses = sorted({status for _region, status in pairs if status})
    return [
        Filter(
            "account",
            _("Cloud account"),
            _("All cloud accounts"),
            [(str(account.pk), account.name) for account in accounts],
        ),
        Filter("type", _("Resource type"), _("All resource types"), list_type_choices()),
        Filter("region", _("Region"), _("All regions"), [(region, region) for region in regions]),
        Filter("state", _("State"), _("All states"), list(ResourceState.choices)),
        Filter(
            "status",
            _("Status"),
            _("All statuses in the cloud"),
            list_status_labels(statuses, request.GET.get("type", "")),
        ),
        Filter(
            "ends",
            _("Paid until"),
            _("Any end"),
            [
                (
                    str(days),
                    ngettext("Ends within %(count)s day", "Ends within %(count)s days", days)
                    % {"count": days},
                )
                for days in ENDS_WITHIN_DAYS
            ],
        ),
        Filter(
            "expired", _("In the cloud"), _("Existing"), [("true", _("Deleted in cloud")), ("all", _("All"))]
        ),
    ]


def _filter(resources: QuerySet[CloudResource], query: ListQuery) -> QuerySet[CloudResource]:
    values = dict(query.values)
    if ends := values.pop("ends", ""):
        resources = resources.filter(paid_until__lt=_end_of(ends))
    expired = values.pop("expired", "")
    if expired == "true":
        resources = resources.exclude(expired_at=None)
    elif not expired:
        resources = resources.filter(expired_at=None)
    return resources.filter(**values)


def _end_of(days: str) -> datetime:
    """Return the time by which a prepaid resource has to end to be shown by the filter."""
    return timezone.now() + timedelta(days=int(days))


def _encode_export_query(query: ListQuery) -> str:
    """Encode the filters as the API names them, so that the export has the resources of the page."""
    values = {"expired": "false", **query.values}
    if values["expired"] == "all":
        del values["expired"]
    if ends := values.pop("ends", ""):
        values["expires_before"] = _end_of(ends).isoformat()
    if query.search:
        values["search"] = query.search
    if query.ordering != DEFAULT_ORDERING:
        values["ordering"] = query.ordering
    return urlencode(values)


def _order(resources: QuerySet[Any], ordering: str) -> QuerySet[Any]:
    if ordering == DEFAULT_ORDERING:
        return resources.order_by("type", "name", "pk")
    return resources.order_by(ordering, "-pk" if ordering.startswith("-") else "pk")
