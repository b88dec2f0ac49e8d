"""The pages of the tenant's security groups: the list, and one group with its rules."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.errors import status_of
from api.replica.reads import reads_list
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tasks import engine
from tasks.models import Job
from tenants.page_forms import split_errors
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope, get_visible_row

from ..group_names import GroupNames
from ..models import SecurityGroup
from ..rule_templates import TEMPLATES
from ..rules import (
    DIRECTIONS,
    ETHERTYPES,
    PROTOCOLS,
    describe_ports,
    describe_remote,
    list_warnings,
    sort_rules,
)
from .places import build_filters, build_rows, label_busy, list_accounts

GROUPS = SecurityGroup.objects.select_related("tenant", "account")
ORDERINGS = frozenset({"name", "created_at"})
RULE_FIELDS = {
    "direction": "ingress",
    "protocol": "tcp",
    "port_min": "",
    "port_max": "",
    "icmp_type": "",
    "icmp_code": "",
    "ethertype": "",
    "remote_cidr": "",
    "remote_group": "",
    "description": "",
}
TEMPLATE_FIELDS = {"template": "web", "cidr": "", "group": ""}
declare_table(
    "security_groups",
    [
        ("description", gettext_lazy("Description")),
        ("rules", gettext_lazy("Rules")),
        ("status", gettext_lazy("Status")),
        ("account", gettext_lazy("Cloud account")),
        ("created_at", gettext_lazy("Created")),
    ],
)


@login_required
@require_GET
@reads_list
def security_group_page(request: PageRequest) -> HttpResponse:
    """Show the security groups."""
    scope = page_scope(request)
    filters = build_filters(list_accounts(scope))
    query = read_list_query(request, filters, orderings=ORDERINGS, ordering="name")
    groups = GROUPS.within(scope).filter(**query.values)
    if query.search:
        groups = groups.filter(Q(name__icontains=query.search) | Q(description__icontains=query.search))
    page = query.paginate(groups.order_by(query.ordering, "pk"))
    table = build_rows(list(page.object_list), "group")
    for row in table:
        row["warnings"] = sum(bool(list_warnings(rule)) for rule in row["group"].rules)
    context = {
        "scope": scope,
        "page": page,
        "rows": table,
        "query": query,
        "ordering": query.ordering,
        "is_busy": any(row["job"] for row in table),
        "may_administer": scope.allows(Role.ADMIN, SecurityGroup),
    }
    return render_page(
        request, "networks/groups.html", context, panels={"groups": "networks/group_table.html"}
    )


@login_required
@never_cache
@require_GET
def security_group_detail_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Show a security group with its rules, and the forms to add some."""
    scope = page_scope(request)
    return render_group(request, scope, get_visible_row(GROUPS, scope, pk))


def render_group(
    request: PageRequest,
    scope: Scope,
    group: SecurityGroup,
    *,
    form: str = "",
    refused: DomainError | None = None,
) -> HttpResponse:
    """Render the page of a group. After an error, the form named `form` has what was entered, and the errors."""
    names = GroupNames()
    names.load([group])
    others = GROUPS.for_tenant(group.tenant).usable().filter(account=group.account, region=group.region)
    holder: Job | None = engine.lock_holder(group.lock_key)
    fields = RULE_FIELDS if form == "rule" else TEMPLATE_FIELDS
    entered = {**RULE_FIELDS, **TEMPLATE_FIELDS}
    if refused is not None:
        entered |= {name: request.POST.get(name, "")[:200] for name in fields}
    problems = split_errors(refused, fields)
    context: dict[str, Any] = {
        "scope": scope,
        "group": group,
        "rules": [
            {
                "rule": rule,
                "ports": describe_ports(rule),
                "remote": describe_remote(rule, names.of(group)),
                "remote_id": names.find_id(group, rule.get("remote_group")),
                "warnings": list_warnings(rule),
            }
            for rule in sort_rules(group.rules)
        ],
        "job": holder,
        "is_busy": holder is not None,
        "busy": label_busy(holder),
        "may_administer": scope.allows(Role.ADMIN, SecurityGroup),
        "groups": list(others.order_by("name").values_list("pk", "name")),
        "directions": DIRECTIONS,
        "ethertypes": ETHERTYPES,
        "protocols": PROTOCOLS,
        "templates": TEMPLATES,
        "entered": entered,
        "form": form,
        "rule_errors": problems["errors"] if form == "rule" else {},
        "template_errors": problems["errors"] if form == "template" else {},
        "refused": problems["refused"],
    }
    return render_page(
        request,
        "networks/group.html",
        context,
        panels={"group": "networks/group_panel.html"},
        status=status_of(refused) if refused else 200,
    )
