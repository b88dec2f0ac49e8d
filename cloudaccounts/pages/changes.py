"""The page of changes: what syncs have found to be different in the cloud accounts, and who made it so."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Scope

from ..models import CloudAccount, ResourceChange
from ..registry import type_label
from ..services.changes import find_visible_jobs
from .resource_values import describe_changed_fields
from .resources import list_type_choices

declare_table(
    "cloud_changes",
    [
        ("resource", gettext_lazy("Resource")),
        # First what one comes for, because a phone shows the first columns.
        ("origin", pgettext_lazy("of a change in a cloud", "Changed by")),
        ("fields", gettext_lazy("Changed fields")),
        ("type", gettext_lazy("Resource type")),
        ("account", gettext_lazy("Cloud account")),
    ],
)
# The choices of the filter of origins, with the value of `outside`.
ORIGINS = {"outside": True, "portal": False}


@login_required
@never_cache
@require_GET
@reads_list
def cloud_change_page(request: PageRequest) -> HttpResponse:
    """Show the changes of the resources that the scope sees, newest first."""
    scope = page_scope(request)
    query = read_list_query(request, _build_filters(scope))
    found = _filter(ResourceChange.objects.within(scope), query)
    page = query.paginate(found.select_related("resource__account").order_by("-id"))
    jobs = find_visible_jobs(scope, page.object_list)
    changes = [
        {
            "change": change,
            "type": capfirst(type_label(change.resource.account.provider, change.resource.type)),
            "fields": describe_changed_fields(change.fields, change.resource.type),
            "job": change.job_id if change.job_id in jobs else None,
        }
        for change in page.object_list
    ]
    context: dict[str, Any] = {"scope": scope, "page": page, "changes": changes, "query": query}
    return render_page(
        request,
        "cloudaccounts/changes.html",
        context,
        panels={"changes": "cloudaccounts/changes_table.html"},
    )


def _build_filters(scope: Scope) -> list[Filter]:
    accounts = CloudAccount.objects.within(scope).order_by("name", "pk").values_list("pk", "name")
    return [
        Filter(
            "origin",
            pgettext("of a change in a cloud", "Changed by"),
            _("All changes"),
            [("outside", _("Outside the portal")), ("portal", _("Tasks of the portal"))],
        ),
        Filter(
            "account", _("Cloud account"), _("All cloud accounts"), [(str(pk), name) for pk, name in accounts]
        ),
        Filter("type", _("Resource type"), _("All resource types"), list_type_choices()),
    ]


def _filter(changes: QuerySet[ResourceChange], query: ListQuery) -> QuerySet[ResourceChange]:
    columns = {"account": "resource__account", "type": "resource__type"}
    values: dict[str, Any] = {columns[name]: value for name, value in query.values.items() if name in columns}
    if origin := query.values.get("origin"):
        values["outside"] = ORIGINS[origin]
    if text := query.search:
        changes = changes.filter(resource__name__icontains=text)
    return changes.filter(**values)
