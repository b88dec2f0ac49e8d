"""The page of the tenant's volume snapshots, and the forms to copy and delete one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError
from api.form_errors import filled_fields, show_error, validate_form
from api.page_addresses import require_POST
from tasks import engine
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role

from ..models import VolumeSnapshot
from ..serializers import NewVolumesSerializer
from ..services import VolumeCreationRequest, create_volumes, remove_snapshot

PAGE_SIZE = 50
SNAPSHOTS = VolumeSnapshot.objects.select_related("information_system", "account", "volume", "created_by")


@login_required
@require_GET
def volume_snapshot_page(request: PageRequest) -> HttpResponse:
    """Show the snapshots, newest first."""
    scope = page_scope(request)
    snapshots = SNAPSHOTS.within(scope).order_by("-created_at", "pk")
    page = Paginator(snapshots, PAGE_SIZE).get_page(request.GET.get("page"))
    listed = list(page.object_list)
    holders = engine.lock_holders(snapshot.lock_key for snapshot in listed)
    context = {
        "scope": scope,
        "page": page,
        "rows": [(snapshot, holders.get(snapshot.lock_key)) for snapshot in listed],
        "changes": bool(holders),
        "may_administer": scope.allows(Role.ADMIN, VolumeSnapshot),
        "may_control": scope.allows(Role.OPERATOR, VolumeSnapshot),
    }
    return render(request, "volumepool/snapshots.html", context)


@login_required
@require_POST
def copy_snapshot_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Create a volume from a snapshot, for the snapshot's information system."""
    scope = page_scope(request)
    snapshot = get_object_or_404(VolumeSnapshot.objects.within(scope), pk=pk)
    try:
        data = {
            **filled_fields(request.POST, "name", "size_gb"),
            "information_system": str(snapshot.information_system_id),
            "snapshot": str(pk),
        }
        params = validate_form(NewVolumesSerializer(data=data))
        create_volumes(scope=scope, request=VolumeCreationRequest(**params))
    except DomainError as refused:
        show_error(request, refused)
        return redirect("volume-snapshot-page")
    return redirect("volume-page")


@login_required
@require_POST
def remove_volume_snapshot_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Delete a snapshot. An error is shown with the message of the API."""
    try:
        remove_snapshot(scope=page_scope(request), snapshot_id=pk)
    except DomainError as refused:
        show_error(request, refused)
    return redirect("volume-snapshot-page")
