"""The page of the tenant's volumes, and the forms to create, change and delete volumes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from api.domain_errors import DomainError, InvalidFieldsError
from api.errors import status_of
from api.form_errors import errors_by_field, filled_fields, show_error, validate_form
from api.page_addresses import require_POST
from tasks import engine
from tenants.models import InformationSystem
from tenants.scoped_pages import PageRequest, page_scope
from tenants.scoping import Role, Scope

from ..models import Volume
from ..serializers import ChangeVolumeSerializer, NewVolumesSerializer, VolumeActionSerializer
from ..services import (
    ClaimRequest,
    VolumeCreationRequest,
    claim_volumes,
    create_volumes,
    extend_volume,
    list_volume_options,
    remove_volume,
    rename_volume,
    take_snapshot,
)
from ..volume_states import list_allowed_actions

PAGE_SIZE = 50
# The fields of the form for new volumes, in the order of the page.
FORM_FIELDS = ("information_system", "type", "size_gb", "count", "name")


@login_required
@require_GET
def volume_page(request: PageRequest) -> HttpResponse:
    """Show the volumes, with a search by name and a filter by attachment."""
    return render_volumes(request, page_scope(request))


def render_volumes(request: PageRequest, scope: Scope, refused: DomainError | None = None) -> HttpResponse:
    """Render the list of volumes; after an error of the form, with the entered values and the errors."""
    volumes = Volume.objects.within(scope).select_related("information_system", "account", "vm")
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    attached = request.GET.get("attached", "")
    if search:
        volumes = volumes.filter(name__icontains=search)
    if attached in {"true", "false"}:
        volumes = volumes.filter(vm__isnull=attached == "false")
    volumes = volumes.annotate(snapshot_count=Count("snapshots")).order_by("name", "pk")
    page = Paginator(volumes, PAGE_SIZE).get_page(request.GET.get("page"))
    listed = list(page.object_list)
    holders = engine.lock_holders(volume.lock_key for volume in listed)
    context = {
        "scope": scope,
        "page": page,
        "rows": [(volume, holders.get(volume.lock_key), list_allowed_actions(volume)) for volume in listed],
        "changes": bool(holders),
        "search": search,
        "attached": attached,
        "query": urlencode({"search": search, "attached": attached}),
        "may_administer": scope.allows(Role.ADMIN, Volume),
        "may_control": scope.allows(Role.OPERATOR, Volume),
    }
    if context["may_administer"]:
        context |= _build_form_context(request, scope, refused)
    return render(request, "volumepool/page.html", context, status=status_of(refused) if refused else 200)


def _build_form_context(request: PageRequest, scope: Scope, refused: DomainError | None) -> dict[str, Any]:
    systems = (
        InformationSystem.objects.within(scope).select_related("tenant").order_by("tenant__name", "name")
    )
    entered = {name: request.POST.get(name, "") for name in FORM_FIELDS} if refused else {"count": "1"}
    return {
        "systems": systems,
        "types": list_volume_options(scope=scope),
        "entered": entered,
        "errors": errors_by_field(refused) if refused else {},
        "is_open": refused is not None,
    }


@login_required
@require_POST
def new_volumes_page(request: PageRequest) -> HttpResponse:
    """Create volumes of a type or of a size."""
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, Volume)
        params = validate_form(NewVolumesSerializer(data=filled_fields(request.POST, *FORM_FIELDS)))
        if "type" in params:
            claim_volumes(scope=scope, request=ClaimRequest(**params))
        else:
            create_volumes(scope=scope, request=VolumeCreationRequest(**params))
    except DomainError as refused:
        show_error(request, refused, shown_beside=FORM_FIELDS)
        return render_volumes(request, scope, refused)
    return redirect("volume-page")


@login_required
@require_POST
def change_volume_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Rename or extend a volume, or create a snapshot of it. An error is shown with the message of the API."""
    scope = page_scope(request)
    action = request.POST.get("action", "")
    try:
        if action == "rename":
            name = validate_form(ChangeVolumeSerializer(data=filled_fields(request.POST, "name")))["name"]
            rename_volume(scope=scope, volume_id=pk, name=name)
        else:
            params = validate_form(
                VolumeActionSerializer(data=filled_fields(request.POST, "action", "name", "size_gb"))
            )
            if action == "extend":
                extend_volume(scope=scope, volume_id=pk, size_gb=params["size_gb"])
            elif action == "snapshot":
                take_snapshot(scope=scope, volume_id=pk, name=params["name"])
            else:
                raise InvalidFieldsError({"action": [_("Attach and detach volumes on the page of the VM.")]})
    except DomainError as refused:
        show_error(request, refused)
    return redirect("volume-page")


@login_required
@require_POST
def remove_volume_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Delete a volume and its data. An error is shown with the message of the API."""
    try:
        remove_volume(scope=page_scope(request), volume_id=pk)
    except DomainError as refused:
        show_error(request, refused)
    return redirect("volume-page")
