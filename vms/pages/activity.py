"""The operations on all VMs of a tenant, also on deleted ones."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from api.replica.reads import reads_list
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope

from ..models import VMOperationLog

RESULTS = {"true": True, "false": False}

# The name of the release before: the columns that users have hidden are stored under it.
declare_table(
    "audit_log",
    [
        ("vm", gettext_lazy("VM")),
        ("operation", gettext_lazy("Operation")),
        ("operator", gettext_lazy("Operator")),
        ("result", gettext_lazy("Result")),
        ("detail", gettext_lazy("Detail")),
    ],
)


@login_required
@require_GET
@reads_list
def activity_page(request: PageRequest) -> HttpResponse:
    """Show the operations, the newest first."""
    scope = page_scope(request)
    query = read_list_query(
        request,
        [
            Filter("operation", _("Operation"), _("All operations"), VMOperationLog.Operation.choices),
            Filter(
                "success", _("Result"), _("All results"), [("true", _("succeeded")), ("false", _("failed"))]
            ),
        ],
    )
    entries = VMOperationLog.objects.within(scope)
    if query.search:
        entries = entries.filter(Q(vm_name__icontains=query.search) | Q(operator__icontains=query.search))
    if operation := query.values.get("operation"):
        entries = entries.filter(operation=operation)
    if success := query.values.get("success"):
        entries = entries.filter(success=RESULTS[success])
    page = query.paginate(entries.order_by("-id"))
    context = {"scope": scope, "page": page, "query": query, "entries": page.object_list}
    return render_page(request, "vms/activity.html", context, panels={"activity": "vms/activity_panel.html"})
