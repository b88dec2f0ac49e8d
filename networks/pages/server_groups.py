"""The page of the tenant's server groups, and the forms to create and delete one."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.form_errors import filled_fields, validate_form
from api.replica.reads import reads_list
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.application_choices import build_application_filter
from tenants.models import InformationSystem
from tenants.page_forms import Outcome, run_form
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import ServerGroup
from ..serializers import NewServerGroupSerializer
from ..services import create_server_group, remove_server_group
from .places import build_filters, build_rows, list_accounts, list_regions

GROUPS = ServerGroup.objects.select_related("information_system__tenant", "account")
ORDERINGS = frozenset({"name", "created_at"})
declare_table(
    "server_groups",
    [
        ("policy", gettext_lazy("VMs run")),
        ("status", gettext_lazy("Status")),
        ("application", gettext_lazy("Application")),
        ("account", gettext_lazy("Cloud account")),
        ("created_at", gettext_lazy("Created")),
    ],
)
NEW_FIELDS = ("information_system", "name", "policy", "account", "region")


@login_required
@require_GET
@reads_list
def server_group_page(request: PageRequest) -> HttpResponse:
    """Show the server groups."""
    scope = page_scope(request)
    filters = [build_application_filter(request, scope), *build_filters(list_accounts(scope))]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="name")
    groups = GROUPS.within(scope).filter(**query.values)
    if query.search:
        groups = groups.filter(name__icontains=query.search)
    page = query.paginate(groups.order_by(query.ordering, "pk"))
    table = build_rows(list(page.object_list), "group")
    context = {
        "scope": scope,
        "page": page,
        "rows": table,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(row["job"] for row in table),
        "may_administer": scope.allows(Role.ADMIN, ServerGroup),
    }
    return render_page(
        request,
        "networks/server_groups.html",
        context,
        panels={"server_groups": "networks/server_group_table.html"},
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new_server_group_page(request: PageRequest) -> HttpResponse:
    """Create a server group for an application."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, ServerGroup)
    accounts = list_accounts(scope)

    def handle() -> Outcome:
        params = validate_form(NewServerGroupSerializer(data=filled_fields(request.POST, *NEW_FIELDS)))
        group = create_server_group(scope=scope, params=params).group
        return _("Creating server group %(name)s.") % {"name": group.name}, ""

    systems = InformationSystem.objects.within(scope).select_related("tenant")
    context = {
        "scope": scope,
        "title": _("Create server group"),
        "systems": list(systems.order_by("tenant__name", "name")),
        "policies": ServerGroup.Policy.choices,
        "accounts": accounts,
        "regions": list_regions(accounts),
    }
    return run_form(
        request,
        "networks/new_server_group_form.html",
        context,
        handle,
        list_page="server-group-page",
        initial={**dict.fromkeys(NEW_FIELDS, ""), "policy": ServerGroup.Policy.ANTI_AFFINITY.value},
        fields=NEW_FIELDS,
    )


@row_form_page(RowForm("networks/remove_server_group_form.html", GROUPS, Role.ADMIN, "server-group-page"))
def remove_server_group_page(request: PageRequest, scope: Scope, row: ServerGroup) -> Outcome:
    """Delete a server group."""
    remove_server_group(scope=scope, group_id=row.pk)
    return _("Deleting server group %(name)s.") % {"name": row.name}, ""
