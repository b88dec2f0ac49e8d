"""The page of the tenant's snapshots, including those of deleted VMs, and the form that creates one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error, validate_form
from api.page_addresses import require_POST
from api.replica.reads import reads_list
from pages.lists import read_list_query
from pages.panels import render_page
from pages.tables import declare_table
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine, VMSnapshot
from ..serializers import NewSnapshotSerializer
from ..services import remove_snapshot, take_snapshot
from .detail import is_held, set_holding_jobs
from .listing import build_permission_context
from .vm_forms import vm_form_page

ORDERINGS = frozenset({"name", "vm_name", "size_bytes", "created_at"})
declare_table(
    "vm_snapshots",
    [
        ("vm", gettext_lazy("VM")),
        ("application", gettext_lazy("Application")),
        ("account", gettext_lazy("Cloud account")),
        ("status", gettext_lazy("Status")),
        ("size", gettext_lazy("Size")),
        ("created_at", gettext_lazy("Created")),
    ],
)
SNAPSHOTS = VMSnapshot.objects.select_related("information_system", "account", "created_by")


@login_required
@require_GET
@reads_list
def snapshot_page(request: PageRequest) -> HttpResponse:
    """Show the snapshots, newest first."""
    scope = page_scope(request)
    query = read_list_query(request, orderings=ORDERINGS, ordering="-created_at")
    snapshots = SNAPSHOTS.within(scope)
    if query.search:
        snapshots = snapshots.filter(Q(name__icontains=query.search) | Q(vm_name__icontains=query.search))
    page = query.paginate(snapshots.order_by(query.ordering, "pk"))
    snapshots_of_page = set_holding_jobs(list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "query": query,
        "ordering": query.ordering,
        "snapshots": snapshots_of_page,
        "is_busy": any(is_held(snapshot) or snapshot.image_id is None for snapshot in snapshots_of_page),
        **build_permission_context(scope),
    }
    return render_page(
        request, "vms/snapshot_page.html", context, panels={"snapshots": "vms/snapshot_panel.html"}
    )


@login_required
@require_POST
def remove_snapshot_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Delete a snapshot, from the list of snapshots or from the page of its VM."""
    scope = page_scope(request)
    snapshot = get_object_or_404(VMSnapshot.objects.within(scope), pk=pk)
    try:
        remove_snapshot(scope=scope, snapshot_id=pk)
    except DomainError as refused:
        show_error(request, refused)
    if request.POST.get("page") == "detail":
        return redirect(f"{reverse('vm-detail-page', args=[snapshot.vm_id])}?tab=snapshots")
    return redirect("snapshot-page")


@vm_form_page("snapshot", Role.OPERATOR)
def take_snapshot_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Create a snapshot of the VM."""
    params = validate_form(NewSnapshotSerializer(data={"name": request.POST.get("name", "")}))
    take_snapshot(scope=scope, vm_id=vm.pk, name=params["name"])
