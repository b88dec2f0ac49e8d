"""The page of the tenant's floating IPs, and the forms to take one and to give it back."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from api.form_errors import filled_fields, validate_form
from api.replica.reads import reads_list
from cloudaccounts.models import CloudResource
from pages.lists import Filter, read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.page_forms import Outcome, run_form
from tenants.row_forms import RowForm, row_form_page
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import FloatingIp
from ..serializers import NewFloatingIpSerializer
from ..services import release_floating_ip, take_floating_ip
from .places import build_filters, build_rows, list_accounts, list_regions

ADDRESSES = FloatingIp.objects.select_related("tenant", "account", "vm")
ORDERINGS = frozenset({"address", "taken_at"})
TAKE_FIELDS = ("network", "account", "region", "description")
declare_table(
    "floating_ips",
    [
        ("network", gettext_lazy("External network")),
        ("status", gettext_lazy("Status")),
        ("attached_to", gettext_lazy("Attached to")),
        ("account", gettext_lazy("Cloud account")),
        ("taken_at", gettext_lazy("Taken")),
    ],
)


@login_required
@require_GET
@reads_list
def floating_ip_page(request: PageRequest) -> HttpResponse:
    """Show the floating IPs. What is not attached shows since when."""
    scope = page_scope(request)
    attached = [("true", _("Attached")), ("false", _("Not attached"))]
    filters = [
        *build_filters(list_accounts(scope)),
        Filter("attached", _("Attached to"), _("Attached or not"), attached),
    ]
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="address")
    values = dict(query.values)
    rows = ADDRESSES.within(scope)
    if wanted := values.pop("attached", ""):
        rows = rows.filter(port_id="") if wanted == "false" else rows.exclude(port_id="")
    rows = rows.filter(**values)
    if query.search:
        rows = rows.filter(
            Q(address__startswith=query.search)
            | Q(vm__name__icontains=query.search)
            | Q(description__icontains=query.search)
        )
    page = query.paginate(rows.order_by(query.ordering, "pk"))
    table = build_rows(list(page.object_list), "address")
    context = {
        "scope": scope,
        "page": page,
        "rows": table,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(row["job"] for row in table),
        "may_administer": scope.allows(Role.ADMIN, FloatingIp),
        "may_control": scope.allows(Role.OPERATOR, FloatingIp),
    }
    return render_page(
        request, "networks/addresses.html", context, panels={"addresses": "networks/address_table.html"}
    )


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def take_floating_ip_page(request: PageRequest) -> HttpResponse:
    """Take a floating IP from an external network that the tenant may use."""
    scope = page_scope(request)
    scope.require(Role.ADMIN, FloatingIp)
    accounts = list_accounts(scope)

    def handle() -> Outcome:
        params = validate_form(NewFloatingIpSerializer(data=filled_fields(request.POST, *TAKE_FIELDS)))
        take_floating_ip(scope=scope, params=params)
        return _("Taking a floating IP."), ""

    networks = (
        CloudResource.objects.within(scope)
        .present()
        .filter(type="network", attributes__is_external=True, missing_count=0, account__in=accounts)
    )
    context = {
        "scope": scope,
        "title": _("Take floating IP"),
        "accounts": accounts,
        "regions": list_regions(accounts),
        "networks": list(networks.select_related("account").order_by("account__name", "name")),
    }
    return run_form(
        request,
        "networks/take_form.html",
        context,
        handle,
        list_page="floating-ip-page",
        initial=dict.fromkeys(TAKE_FIELDS, ""),
        fields=TAKE_FIELDS,
    )


@row_form_page(RowForm("networks/release_form.html", ADDRESSES, Role.ADMIN, "floating-ip-page"))
def release_floating_ip_page(request: PageRequest, scope: Scope, row: FloatingIp) -> Outcome:
    """Give a floating IP back to its network."""
    release_floating_ip(scope=scope, floating_ip_id=row.pk)
    return _("Giving back floating IP %(address)s.") % {"address": row}, ""
