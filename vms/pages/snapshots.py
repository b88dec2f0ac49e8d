"""The tenant's snapshots, also of VMs that are gone."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import show_error
from api.page_addresses import require_POST
from tenants.scoped_pages import PageRequest, page_scope

from ..models import VMSnapshot
from ..services import remove_snapshot
from .detail import is_held, with_jobs
from .listing import may

PAGE_SIZE = 50
SNAPSHOTS = VMSnapshot.objects.select_related("information_system", "account", "created_by")


@login_required
@require_GET
def snapshot_page(request: PageRequest) -> HttpResponse:
    """The list, newest first."""
    scope = page_scope(request)
    snapshots = SNAPSHOTS.within(scope).order_by("-created_at", "pk")
    page = Paginator(snapshots, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = with_jobs(list(page.object_list))
    context = {
        "scope": scope,
        "page": page,
        "snapshots": rows,
        "snapshots_change": any(is_held(row) or row.image_id is None for row in rows),
        **may(scope),
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
