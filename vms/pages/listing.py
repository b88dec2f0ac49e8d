"""The page of the list of VMs, with actions on one or on many, and a warning when its data is out of date."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET
from rest_framework.filters import search_smart_split

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from api.pagination import CappedPaginator
from api.replica.reads import reads_list
from api.tags import match_tags
from pages.lists import Filter, ListQuery, read_list_query
from pages.panels import is_panel_request, render_messages, render_page
from pages.tables import declare_table
from tenants.application_choices import build_application_filter
from tenants.quotas import METER_LABELS, Needs, read_usage
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope
from tenants.tag_filters import build_tag_filters, list_tags, order_by_tag

from ..actions import ACTIONS, PROGRESS_LABELS
from ..models import VirtualMachine, VMStatus
from ..search import search_vms
from ..serializers import VirtualMachineSerializer
from ..services import control_vm, request_sync
from ..services.status_sync import list_stale_regions
from ..services.usage import count_vms_by_status
from .bulk_bar import build_bulk_context

ORDERINGS = frozenset({"name", "status", "cpu_cores", "memory_gb", "disk_gb", "runtime_end"})
declare_table(
    "vms",
    [
        ("application", gettext_lazy("Application")),
        ("status", gettext_lazy("Status")),
        ("ip_address", gettext_lazy("IP address")),
        ("cpu_cores", gettext_lazy("vCPUs")),
        ("memory", gettext_lazy("Memory")),
        ("disk", gettext_lazy("Disk")),
    ],
)
MAX_SEARCH_WORDS = 10
MAX_SHOWN_TAGS = 3
NO_NEEDS = Needs()
# Stands for the id of a VM in an address.
ANY_ID = UUID(int=0)
# The button for a hard restart, which in the API is the action "restart" with `hard`.
FORCE_RESTART = "force_restart"


@login_required
@require_GET
@reads_list
def vm_page(request: PageRequest) -> HttpResponse:
    """Show the list, with the filters that the REST list and its export have."""
    scope = page_scope(request)
    query = _read_query(request, scope)
    group, in_bin = query.values.get("group", ""), query.values.get("in_bin") == "true"
    page = query.paginate(
        _select_vms(scope, query, group), partial(CappedPaginator, known_count=_find_count(scope, query))
    )
    rows = _render_rows(list(page.object_list), scope, group)
    context = {
        "scope": scope,
        "page": page,
        "vms": rows,
        "query": query,
        "ordering": query.ordering,
        "group": group,
        "in_bin": in_bin,
        "is_busy": any(row["current_job"] for row in rows),
        **build_permission_context(scope),
    }
    if not is_panel_request(request):
        context |= {
            **build_bulk_context(scope, in_bin=in_bin),
            # The export has the filters of the list, and no groups.
            "export_query": urlencode({**_search_of(query), **_filters_of(query)}),
            "usage": build_quota_lines(read_usage(scope.tenant))
            if scope.tenant and scope.allows(Role.VIEWER)
            else [],
            "stale_states": list_stale_regions(VirtualMachine.objects.within(scope)),
        }
    return render_page(request, "vms/page.html", context, panels={"vms": "vms/table.html"})


@login_required
@require_POST
def control_vm_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Request an action on a VM, from the list or from its own page. A refusal is shown with the message of the API."""
    scope = page_scope(request)
    action = request.POST.get("action", "")
    is_forced = action == FORCE_RESTART
    try:
        control_vm(
            scope=scope,
            vm_id=pk,
            action="restart" if is_forced else action,
            hard=is_forced or request.POST.get("hard") == "true",
        )
    except DomainError as refused:
        show_error(request, refused)
    if request.htmx:
        return render_messages(request)
    return redirect("vm-detail-page", pk) if request.POST.get("page") == "detail" else redirect("vm-page")


@login_required
@require_POST
def sync_vms_now(request: PageRequest) -> HttpResponse:
    """Request a sync of the tenant's VMs as soon as a worker is free."""
    try:
        states = request_sync(scope=page_scope(request))
    except DomainError as refused:
        show_error(request, refused)
    else:
        named = ", ".join(f"{state.account.name} {state.region}" for state in states) or "-"
        messages.success(request, _("Refreshing %(named)s.") % {"named": named})
    return redirect(f"{reverse('vm-page')}?{_read_query(request, page_scope(request)).encoded}")


def build_permission_context(scope: Scope) -> dict[str, bool]:
    """Return what the caller's role allows, by which templates show or hide buttons."""
    return {
        "may_control": scope.allows(Role.OPERATOR, VirtualMachine),
        "may_administer": scope.allows(Role.ADMIN, VirtualMachine),
    }


def build_quota_lines(
    usage: Mapping[str, Mapping[str, int | None]], needs: Needs = NO_NEEDS
) -> list[dict[str, Any]]:
    """Return the use of each quota, now and with `needs`; without a limit, the total is None."""
    lines = []
    for name, figures in usage.items():
        used, total, needed = figures["used"] or 0, figures["total"], getattr(needs, name)
        after = used + needed
        label, unit = METER_LABELS[name]
        lines.append({"what": label, "unit": unit, "used": used, "after": after, "total": total})
    return lines


def _read_query(request: PageRequest, scope: Scope) -> ListQuery:
    """Read the filters of the list."""
    filters = [
        Filter("status", _("Status"), _("All statuses"), VMStatus.choices),
        build_application_filter(request, scope),
        *build_tag_filters(request, VirtualMachine.objects.within(scope), may_group=True),
        Filter("in_bin", _("Bin"), _("Not in the bin"), [("true", _("In the bin"))]),
    ]
    return read_list_query(request, filters, orderings=ORDERINGS, ordering="name")


def _order(ordering: str) -> list[str]:
    """Return the columns to sort by. The id decides between equals, so that no VM is on two pages."""
    return [ordering, "pk"] if ordering.lstrip("-") == "name" else [ordering, "name", "pk"]


def _select_vms(scope: Scope, query: ListQuery, group: str) -> QuerySet[VirtualMachine]:
    """Return the VMs that the filters match, as the REST list does, so that the export has the VMs of the page."""
    words = list(search_smart_split(query.search))[:MAX_SEARCH_WORDS]  # type: ignore[arg-type] # its stub is wrong.
    values = _filters_of(query)
    in_bin, tag = values.pop("in_bin", ""), values.pop("tag", "")
    vms = VirtualMachine.objects.within(scope).filter(binned_at__isnull=in_bin != "true", **values)
    if tag:
        vms = vms.filter(match_tags([tag]))
    grouping = [order_by_tag(group)] if group else []
    return search_vms(vms, words, scope).order_by(*grouping, *_order(query.ordering))


def _filters_of(query: ListQuery) -> dict[str, str]:
    """Return the filters of the list as the REST list has them: a group is none."""
    return {name: value for name, value in query.values.items() if name != "group"}


def _search_of(query: ListQuery) -> dict[str, str]:
    return {"search": query.search} if query.search else {}


def _find_count(scope: Scope, query: ListQuery) -> int | None:
    """Return the number of VMs; None where a search, a tag or the bin has to count them."""
    values = _filters_of(query)
    if query.search or values.keys() & {"tag", "in_bin"}:
        return None
    return sum(count_vms_by_status(scope, **values).values())


def label_progress(job: Mapping[str, Any]) -> str | Promise:
    """Return what a VM's badge says while a job holds it."""
    return PROGRESS_LABELS.get(job["kind"]) or str(job["description"])


def _render_rows(vms: list[VirtualMachine], scope: Scope, group: str) -> list[dict[str, Any]]:
    """Return the rows of the list. The first row of a group has the text above it as `group_title`."""
    rows: Any = VirtualMachineSerializer(vms, many=True, context={"scope": scope}).data
    titles = {name: str(action.title) for name, action in ACTIONS.items() if not action.is_rare}
    # To look an address up for each VM would take as long as to read the VMs.
    page_of, action_of = (reverse(name, args=[ANY_ID]) for name in ("vm-detail-page", "vm-action"))
    before = None
    for row, vm in zip(rows, vms, strict=True):
        tags = list_tags(vm.tags)
        row["url"] = page_of.replace(str(ANY_ID), str(vm.pk))
        row["action_url"] = action_of.replace(str(ANY_ID), str(vm.pk))
        row["shown_tags"], row["hidden_tags"] = tags[:MAX_SHOWN_TAGS], len(tags[MAX_SHOWN_TAGS:])
        # As the columns of the row: a template formats times, not the texts of the API.
        row["bin_until"] = vm.bin_until
        title = (
            f"{group}: {vm.tags[group]}"
            if group in vm.tags
            else _("Without the tag %(key)s") % {"key": group}
        )
        if group and title != before:
            row["group_title"] = before = title
        if job := row["current_job"]:
            job["progress_label"] = label_progress(job)
        row["buttons"] = [(name, titles[name]) for name in row["allowed_actions"] if name in titles]
    return list(rows)
