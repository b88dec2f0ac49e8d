"""The tenant's volumes: what there is and on which VM, new ones, and what can be done to each."""

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
NEW_FIELDS = ("information_system", "type", "size_gb", "count", "name")


@login_required
@require_GET
def volume_page(request: PageRequest) -> HttpResponse:
    """The list, with a search by name and a filter by whether a VM has it."""
    return show_volumes(request, page_scope(request))


def show_volumes(request: PageRequest, scope: Scope, refused: DomainError | None = None) -> HttpResponse:
    """The list; after a refusal of new volumes, with the form as it was filled in and what was wrong."""
    volumes = Volume.objects.within(scope).select_related("information_system", "account", "vm")
    search = request.GET.get("search", "")[:200].replace("\x00", "").strip()
    attached = request.GET.get("attached", "")
    if search:
        volumes = volumes.filter(name__icontains=search)
    if attached in {"true", "false"}:
        volumes = volumes.filter(vm__isnull=attached == "false")
    kept = volumes.annotate(snapshot_count=Count("snapshots")).order_by("name", "pk")
    page = Paginator(kept, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = list(page.object_list)
    held = engine.lock_holders(volume.lock_key for volume in rows)
    context = {
        "scope": scope,
        "page": page,
        "rows": [(volume, held.get(volume.lock_key), list_allowed_actions(volume)) for volume in rows],
        "changes": bool(held),
        "search": search,
        "attached": attached,
        "query": urlencode({"search": search, "attached": attached}),
        "may_administer": scope.allows(Role.ADMIN, Volume),
        "may_control": scope.allows(Role.OPERATOR, Volume),
    }
    if context["may_administer"]:
        context |= _new_form(request, scope, refused)
    return render(request, "volumepool/page.html", context, status=status_of(refused) if refused else 200)


def _new_form(request: PageRequest, scope: Scope, refused: DomainError | None) -> dict[str, Any]:
    systems = (
        InformationSystem.objects.within(scope).select_related("tenant").order_by("tenant__name", "name")
    )
    entered = {name: request.POST.get(name, "") for name in NEW_FIELDS} if refused else {"count": "1"}
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
    """Get volumes: of a type, or of a size."""
    scope = page_scope(request)
    try:
        scope.require(Role.ADMIN, Volume)
        params = validate_form(NewVolumesSerializer(data=filled_fields(request.POST, *NEW_FIELDS)))
        if "type" in params:
            claim_volumes(scope=scope, request=ClaimRequest(**params))
        else:
            create_volumes(scope=scope, request=VolumeCreationRequest(**params))
    except DomainError as refused:
        show_error(request, refused, shown_beside=NEW_FIELDS)
        return show_volumes(request, scope, refused)
    return redirect("volume-page")


@login_required
@require_POST
def change_volume_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Extend, rename or keep a snapshot of a volume. A refusal is shown in the words of the API."""
    scope = page_scope(request)
    action = request.POST.get("action", "")
    try:
        if action == "rename":
            name = validate_form(ChangeVolumeSerializer(data=filled_fields(request.POST, "name")))["name"]
            rename_volume(scope=scope, volume_id=pk, name=name)
        else:
            asked = validate_form(
                VolumeActionSerializer(data=filled_fields(request.POST, "action", "name", "size_gb"))
            )
            if action == "extend":
                extend_volume(scope=scope, volume_id=pk, size_gb=asked["size_gb"])
            elif action == "snapshot":
                take_snapshot(scope=scope, volume_id=pk, name=asked["name"])
            else:
                raise InvalidFieldsError({"action": [_("This is done on the page of its VM.")]})
    except DomainError as refused:
        show_error(request, refused)
    return redirect("volume-page")


@login_required
@require_POST
def remove_volume_page(request: PageRequest, pk: UUID) -> HttpResponse:
    """Have a volume removed, with what is on it. A refusal is shown in the words of the API."""
    try:
        remove_volume(scope=page_scope(request), volume_id=pk)
    except DomainError as refused:
        show_error(request, refused)
    return redirect("volume-page")
