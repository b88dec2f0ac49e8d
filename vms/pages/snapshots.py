"""The page of the tenant's snapshots, also of VMs that were deleted, and the form that takes one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error, validate_form
from api.page_addresses import require_POST
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import VirtualMachine, VMSnapshot
from ..serializers import NewSnapshotSerializer
from ..services import remove_snapshot, take_snapshot
from .detail import attach_jobs, is_held
from .listing import permission_context
from .vm_forms import vm_form_page

PAGE_SIZE = 50
SNAPSHOTS = VMSnapshot.objects.select_related("information_system", "account", "created_by")


@login_required
@require_GET
def snapshot_page(request: PageRequest) -> HttpResponse:
    """Show the list, newest first."""
    scope = page_scope(request)
    snapshots = SNAPSHOTS.within(scope).order_by("-created_at", "pk")
    page = Paginator(snapshots, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = attach_jobs(list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "snapshots": rows,
        "snapshots_change": any(is_held(row) or row.image_id is None for row in rows),
        **permission_context(scope),
    }
    return render(request, "vms/snapshot_page.html", context)


@login_required
@require_POST
def remove_snapshot_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have a snapshot removed, from the list or from the page of the VM that it was made of."""
    scope = page_scope(request)
    snapshot = get_object_or_404(VMSnapshot.objects.within(scope), pk=pk)
    try:
        remove_snapshot(scope=scope, snapshot_id=pk)
    except DomainError as refused:
        show_error(request, refused)
    if request.POST.get("page") == "detail":
        return redirect("vm-detail-page", snapshot.vm_id)
    return redirect("snapshot-page")


@vm_form_page("snapshot", Role.OPERATOR)
def take_snapshot_page(request: PageRequest, scope: Scope, vm: VirtualMachine) -> None:
    """Take a snapshot of the VM."""
    params = validate_form(NewSnapshotSerializer(data={"name": request.POST.get("name", "")}))
    take_snapshot(scope=scope, vm_id=vm.pk, name=params["name"])
